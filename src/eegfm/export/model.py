"""A trained model by itself: windows in microvolts in, probabilities or the windows given back out.

Everything about it is in a `config.json` of plain values and in tensors (`model.safetensors`): no run folder, no store,
no Hydra, no Lightning. What a file may name is a class of our models and encoders, nothing else, and nothing is
unpickled. `eegfm.export.from_run` makes one from a run, `eegfm export` writes the folder.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.export.described import CONFIG, FITTED, WEIGHTS, made, refuse_other, say_input, spec_of
from eegfm.export.fitted import Classical, FittedHead
from eegfm.nn.head import class_probabilities, make_head
from eegfm.nn.scaling import size_of
from eegfm.tasks.features import Features

SERIES = 1024  # seconds that go through an encoder at once
VOLTS = 0.05  # µV: a whole batch below it is in another unit; the noise of an amplifier is above


class Portable(nn.Module):
    """What a `config.json` describes (see `eegfm.export.described`), its weights as they are drawn.

    Called with windows in microvolts, [batch, channel, time], it gives class probabilities [batch, class] in the order
    of `spec.classes`, or the windows back, or, of a forecast, their end. `spec` says which channels, at which rate.
    Where only the vectors of an encoder can be taken, [batch, channel, second, width], `spec.shape` has three numbers.

    `coords` are places in metres, MNE's head frame, one a channel, for models that read them; those of `spec` where
    none are given. The module is in eval mode.

    Raises EegfmError where the config is none, or names anything but our models and encoders.
    """

    coords: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse_other(config)
        self.config = dict(config)
        self.kind: str = config["kind"]
        self.spec = spec_of(config["input"])
        self.scale = config["scale"]
        places = torch.tensor(self.spec.montage.coords, dtype=torch.float32)
        self.register_buffer("coords", places, persistent=False)
        with torch.random.fork_rng(devices=[]):  # weights are drawn where a file replaces them
            self.encoder = None if config["encoder"] is None else Tokens(made(config["encoder"]))
            seen = self.spec if self.encoder is None else self.encoder.spec(self.spec)
            model = made(config["backbone"])(seen)
            self.backbone: Any = Classical(model, config) if self.kind == "estimate" else model
            self.head = self._make_head(config["head"])
        if self.kind == "probe":
            self.features = Features(self.backbone, layer=config["layer"], scale=self.scale)
        self.eval()

    def forward(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Tensor:
        """Probabilities of the classes, or windows in microvolts.

        Raises EegfmError for what is no batch of windows, and for channels without places.
        """
        x, coords = self._given(x, coords)
        if self.kind == "classify":
            return class_probabilities(self.head(self._embedded(x, coords)))
        if self.kind in FITTED:
            features = self.features(x, coords) if self.kind == "probe" else self.backbone.features(x)
            return self.head(features).to(x.dtype)
        if self.kind == "forecast":
            return self._forecast(x, coords)
        size = size_of(x, self.scale)
        return self.backbone(x / size, coords) * size

    def logits(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch logit"]:
        """What a loss for classes takes: a logit a class, of two classes one. Raises EegfmError where there is none."""
        if self.kind != "classify":
            raise EegfmError(f"This is a model of task={self.kind}, which has no logits.")
        return self.head(self._embedded(*self._given(x, coords)))

    def embed(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """What the backbone makes of a window: one vector. Raises EegfmError where there is no backbone."""
        if not hasattr(self.backbone, "embed"):
            raise EegfmError(f"{self.config['backbone']['class']} has no vector for a window.")
        return self._embedded(*self._given(x, coords))

    def _embedded(self, x: Tensor, coords: Tensor) -> Tensor:
        return self.backbone.embed(x if self.scale is None else x / size_of(x, self.scale), coords)

    def _forecast(self, x: Tensor, coords: Tensor) -> Float[Tensor, "batch channel future"]:
        # as `eegfm.tasks.forecast.Forecast`: the future is not looked at, not even for its size
        n_times = x.shape[-1]
        past = n_times - max(1, int(self.config["ratio"] * n_times))
        if past < 1:
            raise EegfmError(f"A window of {n_times} samples has no past to go on from.")
        size = size_of(x[..., :past], self.scale)
        seen = x[..., :past] / size
        if self.head is None:
            return self.backbone(F.pad(seen, (0, n_times - past)), coords)[..., past:] * size
        return self.head(self.backbone(seen, coords), n_times - past) * size

    def _given(self, x: Tensor, coords: Tensor | None) -> tuple[Tensor, Tensor]:
        """Windows, or an encoder's vectors of them, and places, on this module's device."""
        coords = self.coords if coords is None else torch.as_tensor(coords).to(self.coords)
        if not torch.compiler.is_compiling():
            x = torch.as_tensor(x).to(self.coords)
            self._check(x, coords)
        return (x if self.encoder is None else self.encoder(x)), coords

    def _check(self, x: Tensor, coords: Tensor) -> None:
        shape = self.spec.shape
        if x.ndim != len(shape) + 1:
            what = "[batch, channel, time]" if len(shape) == 2 else "[batch, channel, second, width]"
            raise EegfmError(
                f"{what} is wanted, {say_input(self.spec)}; this has the shape {tuple(x.shape)}."
            )
        if coords.ndim != 2 or coords.shape[1] != 3 or len(coords) != x.shape[1]:
            raise EegfmError(
                f"{x.shape[1]} channels with places of {tuple(coords.shape)}: this model was trained on "
                f"{say_input(self.spec)}. For other channels, if it takes any, name their places: coords="
                "eegfm.signal.montage.montage_of([<names>]).coords"
            )
        if len(shape) == 2 and x.numel() and 0 < float(x.abs().max()) < VOLTS:
            warnings.warn(
                f"The largest value is {float(x.abs().max()):.2g}: microvolts are wanted, and this looks like volts "
                "(MNE's). Multiply by 1e6.",
                stacklevel=4,
            )

    def _make_head(self, head: Mapping[str, Any] | None) -> Any:
        if head is None:
            return None
        if self.kind == "classify":
            return make_head(self.backbone, self.spec.n_logits, **head)
        if self.kind == "forecast":
            from eegfm.tasks.forecast import Convolution, Mamba  # Lightning, which other models do without

            return (Convolution if head["name"] == "convolution" else Mamba)(self.spec.n_channels)
        return FittedHead(n_classes=len(self.spec.classes), **head)


class Tokens(nn.Module):
    """Windows in microvolts as a store of the encoder's vectors has them: every second alone, in 16 bits, frozen."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.second, self.width = round(encoder.sfreq), encoder.width
        self.vectors: Callable[[Tensor], Tensor] = getattr(encoder, "vectors", encoder.encode)
        # the object that `vectors` computes with, so that it moves and is saved with this module; spectrum has none
        self.network: nn.Module | None = getattr(encoder, "network", None)

    def spec(self, raw: SampleSpec) -> SampleSpec:
        """What a sample of raw windows becomes."""
        if raw.sfreq != self.second or raw.shape[1] % self.second:
            raise EegfmError(
                f"This encoder reads seconds at {self.second} Hz, and windows of {raw.shape[1]} samples at "
                f"{raw.sfreq:g} Hz are none."
            )
        shape = (raw.shape[0], raw.shape[1] // self.second, self.width)
        return SampleSpec(raw.montage, shape, raw.sfreq, raw.classes, raw.corpora, raw.montages)

    def forward(
        self, x: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel second width"]:
        if x.shape[-1] % self.second:
            raise EegfmError(
                f"Whole seconds of {self.second} samples are wanted; these have {x.shape[-1]} samples."
            )
        series = x.reshape(-1, self.second)
        parts = [series] if torch.compiler.is_compiling() else series.split(SERIES)
        vectors = torch.cat([self.vectors(part) for part in parts])
        return vectors.half().to(x.dtype).reshape(*x.shape[:2], -1, self.width)

    def train(self, mode: bool = True) -> "Tokens":
        return super().train(False)  # its dropout is part of what is frozen


# ---- a folder --------------------------------------------------------------------------------------------------------


def read(folder: Path, make: Callable[[dict[str, Any]], Portable] = Portable) -> Portable:
    """The model of an exported folder, from its config.json and model.safetensors alone.

    Raises:
        EegfmError: one of them is missing, damaged, not ours, or they do not go together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise EegfmError(f"{folder} has no {name}: it is not a folder that eegfm export has written.")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise EegfmError(f"{folder} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise EegfmError(f"This {CONFIG} is not one that eegfm export has written.")
    try:
        model = make(config)
    except (KeyError, TypeError) as error:
        raise EegfmError(f"{folder / CONFIG} is damaged: {error!r}") from None
    return filled(model, state, str(folder / WEIGHTS))


def filled(model: Portable, state: Mapping[str, Tensor], source: str) -> Portable:
    """The model with these tensors, none left over on either side; raises EegfmError where some are."""
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        said = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise EegfmError(f"{source} does not hold the weights of this model: {said}") from None
    return model.eval()


def tag_of(folder: Path) -> str:
    """A name of these weights: what their file's SHA-256 begins with."""
    with (folder / WEIGHTS).open("rb") as file:
        return f"weights-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"


def write(model: Portable, folder: Path) -> None:
    """config.json and model.safetensors, what `read` reads."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    # copies: a file of safetensors has no tensor that is part of another
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(model.config, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    # safetensors leaves its file to its owner alone
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)
