"""Start a backbone from the weights of an earlier run, or from weights that its authors published."""

import hashlib
import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import published_file
from eegfm.support.checksums import refuse_changed
from eegfm.support.files import sha256_of
from eegfm.tasks.bounded import refuse_bomb

log = logging.getLogger(__name__)

PEOPLE_SEEN = "seen"  # a checkpoint's key, and of an exported file's metadata: whom the weights have seen
SUM = "eegfm_sha256"  # a key of an exported file's metadata: `sum_of_tensors`


@runtime_checkable
class Published(Protocol):
    """A backbone whose authors have published weights in the layout of its own state dict.

    `repository`, `revision` and `file` locate them on Hugging Face, `sha256` is the file's hash, `about`
    its size and licence. The weights need microvolts divided by `unit_uv` (task.scale).
    """

    repository: str
    revision: str
    file: str
    sha256: str
    about: str
    unit_uv: float


@runtime_checkable
class ReadsPublished(Protocol):
    """A backbone that converts state dicts of another layout, and names the tensors that it leaves out."""

    def from_published(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]: ...


def published_weights(backbone: nn.Module, folder: Path) -> Path:
    """The published file of a backbone, below `folder` or in Hugging Face's cache. Downloads nothing.

    Raises:
        EegfmError: there is no such file.
    """
    name = type(backbone).__name__
    if not isinstance(backbone, Published):
        raise EegfmError(
            f"weights=published: there are no published weights of {name} that could be loaded. Name a run or a "
            "checkpoint (weights=runs/<run>), or type weights=null."
        )
    path = folder / name.lower() / backbone.file
    found = published_file(path.parent, backbone.repository, backbone.file, backbone.revision)
    if found is None:
        raise EegfmError(
            f"weights=published: there is no {path}.\n"
            f"Type: eegfm weights fetch model={name.lower()}\n"
            f"or download {backbone.file} ({backbone.about}, no login) from\n"
            f"  https://huggingface.co/{backbone.repository}/resolve/{backbone.revision}/{backbone.file}\n"
            f"and put it into {path.parent}. To train from scratch: weights=null"
        )
    digest = sha256_of(found)
    if digest != backbone.sha256:
        log.warning(
            "%s is not the published file: its SHA-256 is %s, wanted %s.", found, digest, backbone.sha256
        )
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint, a bare state dict or a safetensors file. Never runs code from the file.

    Raises:
        EegfmError: the file holds something else, or is not as its run wrote it.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    held = read_checkpoint(path)
    state = held.get("state_dict", held)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EegfmError(f"{path} holds no state dict: names and tensors are wanted.")
    return state


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, which is held against the sum that `eegfm export` puts in it.

    Raises:
        EegfmError: the file is damaged, or is not as it was written.
    """
    refuse_changed(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, ValueError, UnicodeDecodeError) as error:
        raise EegfmError(f"{path} is damaged, or no safetensors file: {error}") from None
    if SUM in about and about[SUM] != sum_of_tensors(state, about):
        raise EegfmError(
            f"{path} is damaged: its tensors are not those of its {SUM}. Put a good copy in its place, or export the "
            "run again: eegfm export <run>"
        )
    return state, about


def sum_of_tensors(state: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """The SHA-256 of tensors, their names, types and shapes, and of the rest of a file's metadata."""
    found = hashlib.sha256()
    for name, text in sorted(about.items()):
        if name != SUM:
            found.update(f"{name}={text}\n".encode())
    for name, tensor in sorted(state.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def save_tensors(tensors: Mapping[str, Tensor], file: Path, about: Mapping[str, str]) -> None:
    """Write tensors as safetensors, with `about` and their sum in the file's metadata."""
    # copies, because safetensors refuses tensors that share memory
    state = {key: one.detach().cpu().contiguous().clone() for key, one in tensors.items()}
    about = {"format": "pt", **about}
    save_file(state, file, metadata={**about, SUM: sum_of_tensors(state, about)})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What torch has saved in a file, if that is a dict. Never runs code from the file.

    Raises:
        EegfmError: the file holds something else, or is not as its run wrote it.
    """
    refuse_changed(path)
    refuse_bomb(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EegfmError(
            f"{path} is no file of tensors alone, and what else it holds is not run: {str(error).splitlines()[0][:200]}"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise EegfmError(f"{path} is damaged, or no file that torch has saved: {said[0][:200]}") from None
    if not isinstance(held, dict):
        raise EegfmError(f"{path} holds a {type(held).__name__}: names and tensors are wanted.")
    return held


def exported_people(path: Path) -> Any:
    """What `eegfm export` has said in a safetensors file of whom its weights have seen; None where nothing is said.

    Raises:
        EegfmError: the file is damaged, or is not as its run wrote it.
    """
    said = read_safetensors(path)[1].get(PEOPLE_SEEN)
    try:
        return None if said is None else json.loads(said)
    except (ValueError, RecursionError) as error:
        raise EegfmError(f"{path} is damaged, or no safetensors file: {error}") from None


def config_of(path: Path) -> str:
    """The config of the run that wrote a checkpoint, as YAML text; "" where there is none."""
    text = "" if path.suffix == ".safetensors" else read_checkpoint(path).get("config", "")
    return text if isinstance(text, str) else ""


def load_backbone(backbone: nn.Module, path: Path) -> list[str]:
    """Load a backbone strictly and return the keys of the file that are not its own (a head, most often).

    Raises:
        EegfmError: a tensor of the backbone is not in the file or has another shape, or the file holds adapters.
    """
    state = read_state(path)
    if any(".base_layer." in key for key in state):
        raise EegfmError(
            f"{path} holds a backbone with adapters in it. Export its run, which merges them, and start from the "
            "exported file: eegfm export <run>, and weights=<folder>/model.safetensors"
        )
    prefix = "backbone." if any(key.startswith("backbone.") for key in state) else ""
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    left_out = [key for key in state if not key.startswith(prefix)]
    if not prefix and isinstance(backbone, ReadsPublished):
        try:
            own, left_out = backbone.from_published(own)
        except EegfmError as error:
            raise EegfmError(f"{path} does not fit this {type(backbone).__name__}: {error}") from None
    wanted = backbone.state_dict()
    absent = [key for key in wanted if key not in own]
    extra = [key for key in own if key not in wanted]
    other = [key for key in wanted if key in own and own[key].shape != wanted[key].shape]
    if absent or extra or other:
        shapes = [f"{key} {tuple(own[key].shape)}, wanted {tuple(wanted[key].shape)}" for key in other[:3]]
        raise EegfmError(
            f"{path} does not fit this {type(backbone).__name__}: {len(absent)} tensors absent "
            f"({', '.join(absent[:3])}), {len(extra)} unknown ({', '.join(extra[:3])}), "
            f"{len(other)} of another shape ({'; '.join(shapes)}). "
            "Choose the model, encoder and data settings that the weights were trained with."
        )
    backbone.load_state_dict(own)
    log.info("%d tensors from %s; left out: %s", len(own), path, ", ".join(left_out) or "nothing")
    return left_out
