"""The input of every encoder: single seconds at 200 Hz, as in STAMP (Shook et al. 2025, arXiv:2511.10848); and the
common part of encoders that are pretrained networks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.support.checksums import wanted_sums
from eegfm.support.files import sha256_of

SFREQ = 200.0
SECOND = 200  # samples

INSTALL = "In a checkout: make setup-tsfm. Elsewhere: pip install 'eegfm[tsfm]'"

Precision = Literal["float32", "bfloat16", "float16"]


def as_seconds(
    series: Float[Tensor, "series time"], *, encoder: str, second: int = SECOND
) -> Float[Tensor, "series second"]:
    """The series in float32, or a refusal if they are not seconds of so many samples.

    Without this check, another length would silently be cut off or read on a wrong frequency axis.

    Raises:
        EegfmError: the series are of another length.
    """
    if series.ndim != 2 or series.shape[1] != second:
        raise EegfmError(
            f"encoder={encoder} reads series of one second at {second} Hz, [n, {second}]; "
            f"these are {list(series.shape)}. Resample to {second} Hz, then series.reshape(-1, {second})."
        )
    return series.float()


class Pretrained(ABC):
    """The base of encoders that are networks with published weights.

    A subclass defines `name`, `width`, where its weights are published, how the network is built (`build`)
    and how seconds pass it (`vectors`). The network is built when the first vector is asked for: training
    from a prepared store needs the weight file, which the recipe names, but not the package.

    Args:
        weights: folder with the published file, or "random" for weights drawn from `seed` (for tests, and as a
            control for what pretraining adds). If the folder has no such file, Hugging Face's cache is searched.
        seed: seed of weights="random".
        device: "auto" (a GPU if there is one, else the CPU) or a name for torch.device.
        precision: the network's precision on a GPU (autocast); a CPU always uses float32. Vectors are float32.
        input_norm: how a backbone should norm the vectors first. Not used here; STAMP's is "instance".

    Raises:
        EegfmError: there are no weights.
    """

    name: str
    width: int
    sfreq = SFREQ
    # the published weights: owner/name, the branch or commit, the file, and its size and licence
    repository: str
    revision: str
    file = "model.safetensors"
    about: str
    adapters: Sequence[str] = ()  # LoRA adapters go beside linear layers whose names end so
    chunk = 1024  # series at once on a CPU: bounds the memory; more is not faster on one thread

    def __init__(
        self,
        *,
        weights: str | Path,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        self.weights = None if weights == "random" else self._find(Path(weights))
        self.seed, self.device, self.precision, self.input_norm = seed, device, precision, input_norm
        self.source = f"random, seed {seed}" if self.weights is None else self._sum(self.weights)

    def settings(self) -> dict[str, Any]:
        """The settings that change a vector, for the store's recipe; above all the weight file's SHA-256."""
        rounded = {} if self.precision == "float32" else {"precision": self.precision}
        return {"weights": self.source, **rounded, **self.facts()}

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The other facts that change a vector: the model's name and size, the preparation of a second, the pooling."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network as published, with weights drawn from torch's generator, or read from `self.weights`."""

    @abstractmethod
    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds in µV, on the device of `network`; with a gradient if its weights have one."""

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, on its device, for evaluation."""
        with torch.random.fork_rng(devices=[]):  # building draws weights even where a file replaces them
            torch.default_generator.manual_seed(self.seed)  # torch.manual_seed would seed the GPUs as well
            network = self.build()
        return network.eval().requires_grad_(False).to(self._device())

    def encode(self, series: Float[Tensor, "series time"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds in µV, on the device of `series`.

        Raises:
            EegfmError: the series are not 200 samples long, a package is not installed, or the weights are those of
                another model.
        """
        series = as_seconds(series, encoder=self.name)
        device = next(self.network.parameters()).device
        found = torch.empty(len(series), self.width, device=series.device)
        half = self.precision != "float32" and device.type == "cuda"
        context = torch.autocast("cuda", getattr(torch, self.precision)) if half else nullcontext()
        # the result is made outside, so that it is an ordinary tensor, usable in a backbone's backward pass
        with torch.inference_mode(), context:
            size = self.chunk
            if device.type == "cuda":
                size = series_that_fit(lambda n: self.vectors(series[:n].to(device)), len(series), device)
            for start in range(0, len(series), size):
                found[start : start + size] = self.vectors(series[start : start + size].to(device))
        return found

    def _device(self) -> str:
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device

    def _fetch(self) -> str:
        size = getattr(self, "size", None)
        return f"eegfm weights fetch encoder={self.name}{f' encoder.size={size}' if size else ''}"

    def _sum(self, file: Path) -> str:
        """The SHA-256 of the file. Raises EegfmError if it was fetched with another."""
        found, wanted = sha256_of(file), wanted_sums(file)
        if wanted and found not in wanted:
            raise EegfmError(
                f"{file} is not the file that was fetched: its SHA-256 is {found}, wanted {' or '.join(wanted)}. "
                f"Delete it, and type: {self._fetch()}"
            )
        return found

    def _find(self, folder: Path) -> Path:
        found = published_file(folder, self.repository, self.file, self.revision)
        if found is not None:
            return found
        raise EegfmError(
            f"encoder={self.name}: there is no {folder / self.file}.\n"
            f"Type: {self._fetch()}\n"
            f"or download {self.file} ({self.about}, no login) from\n"
            f"  https://huggingface.co/{self.repository}/tree/{self.revision}\n"
            f"and put it into {folder}, or name another folder: encoder.weights=<folder>. "
            "As a control, encoder.weights=random does without."
        )


def load_strictly(network: nn.Module, file: Path, *, what: str, tied: Iterable[str] = ()) -> None:
    """Load a safetensors file into a network; both must have exactly the same tensors.

    `tied` names the network's other names for a tensor that transformers' files hold once, as
    `shared.weight`.

    Raises:
        EegfmError: the file is not of this format or holds other tensors; `what` says whose they should be.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(file)
        if "shared.weight" in found:
            found |= {name: found["shared.weight"] for name in tied if name not in found}
        network.load_state_dict(found, strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise EegfmError(
            f"{file} does not hold the weights of {what}. Download it again from there.\n{error}"
        ) from error


def series_that_fit(run: Callable[[int], Any], total: int, device: torch.device, *, probe: int = 64) -> int:
    """How many series fit on a GPU at once: nine tenths of its free memory by the measured use of one series."""
    if total <= probe:
        return max(1, total)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run(probe)
    each = max(1, torch.cuda.max_memory_allocated(device) - before) / probe
    torch.cuda.empty_cache()
    return max(1, min(total, int(0.9 * torch.cuda.mem_get_info(device)[0] / each)))


def published_file(folder: Path, repository: str, file: str, revision: str) -> Path | None:
    """A published file, from the folder or else Hugging Face's local cache; None if it is in neither."""
    return folder / file if (folder / file).is_file() else in_cache(repository, file, revision)


def in_cache(repository: str, file: str, revision: str) -> Path | None:
    """The file in Hugging Face's local cache, if the library is installed and has it. Downloads nothing."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, file, revision=revision)
    return Path(found) if isinstance(found, str) else None
