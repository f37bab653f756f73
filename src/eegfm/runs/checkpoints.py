"""The checkpoint and the config that a path means: a run folder or a file in one."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from eegfm.contracts import EegfmError


def checkpoint_of(place: Path) -> Path:
    """The checkpoint meant by a path: a file itself, or the epoch that a finished run's folder has kept."""
    if place.is_file():
        return place
    if not (place / "config.yaml").is_file():
        raise EegfmError(
            f"No run and no checkpoint at {place}: wanted a run folder, or a .ckpt, .pth or .safetensors file."
        )
    keep = OmegaConf.select(OmegaConf.load(place / "config.yaml"), "selection.keep", default="best")
    checkpoint = place / "checkpoints" / f"{keep}.ckpt"
    if not checkpoint.is_file():
        raise EegfmError(
            f"The run at {place} has no {checkpoint.name} yet: train it first, or name a checkpoint file."
        )
    return checkpoint


def config_of_run(place: Path) -> DictConfig:
    """The resolved config of a run folder, or the one that a checkpoint carries."""
    if (place / "config.yaml").is_file():
        config = OmegaConf.load(place / "config.yaml")
    elif place.is_file():
        import torch

        text = torch.load(place, map_location="cpu", weights_only=True).get("config", "")
        if not text:
            raise EegfmError(
                f"{place} carries no config: it was not written by a run. Name the run folder instead."
            )
        config = OmegaConf.create(text)
    else:
        raise EegfmError(
            f"run={place}: wanted a run folder (with config.yaml) or a checkpoint (.ckpt) in one."
        )
    assert isinstance(config, DictConfig)
    return config
