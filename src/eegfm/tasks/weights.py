"""Starting a backbone from the weights of an earlier run."""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from eegfm.contracts import EegfmError

log = logging.getLogger(__name__)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint or a safetensors file. Never runs code from the file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def config_of(path: Path) -> str:
    """The resolved config of the run that wrote a checkpoint, as YAML text; "" where there is none."""
    if path.suffix == ".safetensors":
        return ""
    return torch.load(path, map_location="cpu", weights_only=True).get("config", "")


def load_backbone(backbone: nn.Module, path: Path) -> list[str]:
    """Load a backbone strictly and return the keys of the file that are not its own (a head, most often).

    Raises:
        EegfmError: a tensor of the backbone is not in the file or has another shape.
    """
    state = read_state(path)
    prefix = "backbone." if any(key.startswith("backbone.") for key in state) else ""
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    left_out = [key for key in state if not key.startswith(prefix)]
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
