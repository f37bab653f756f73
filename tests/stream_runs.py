"""What the tests and the benchmark of `eegfm stream` share: runs with random weights, and recordings of any length."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf, open_dict

from eegfm.build import build
from eegfm.nn.scaling import UNIT
from eegfm.signal.formats.edf_writer import EdfWriter
from tests.composed import composed
from tests.made_run import make_run
from tests.nn.tokens import seeded

SMALL = ("model.width_scale=8", "model.d_state=8")


def untrained_run(
    folder: Path, *overrides: str, seed: int = 0, benchmark: dict[str, Any] | None = None
) -> Path:
    """A run folder as training leaves it, without the training: the weights as they are drawn.

    `benchmark` is a declaration of somebody's own recordings, in place of the data set's.
    """
    config = composed(*overrides)
    if benchmark is not None:
        with open_dict(config):
            target = "eegfm.benchmarks.own.declared.benchmark"
            config.data.benchmark = {"_target_": target, "name": "mine", **benchmark}
    with seeded(seed):
        task = build(config, None).task
    make_run(folder, seed)
    resolved = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    text = OmegaConf.to_yaml(OmegaConf.create(resolved))
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / "checkpoints").mkdir()
    state = task.state_dict() if isinstance(task, torch.nn.Module) else {}
    for name in (one for one in state if one.endswith(UNIT)):
        state[name].fill_(100.0)  # a training would have fitted it
    torch.save({"state_dict": state, "config": text}, folder / "checkpoints" / "best.ckpt")
    return folder


def write_recording(
    path: Path, names: list[str], sfreq: int, seconds: int, *, seed: int = 0, gain: float = 1.0
) -> Path:
    """An EDF of noise with a rhythm of 10 Hz that comes and goes, minute by minute: any length in constant memory."""
    rng = np.random.default_rng(seed)
    with EdfWriter(path, names, sfreq) as file:
        for start in range(0, seconds, 60):
            n = sfreq * min(60, seconds - start)
            t = start + np.arange(n) / sfreq
            rhythm = 20 * np.sin(2 * np.pi * 10 * t) * (np.sin(2 * np.pi * t / 40) > 0)
            noise = 10 * rng.standard_normal((len(names), n))
            file.write(gain * (rhythm * rng.uniform(0.2, 1, (len(names), 1)) + noise))
    return path
