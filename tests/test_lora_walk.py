"""The walk of model=stamp_lora: raw windows in, an encoder tuned inside, a run folder that explains itself."""

import importlib.util

import pytest
import torch

from eegfm.runs.results import read_result
from tests.test_walk import door, only_run

absent = [name for name in ("tsfm_public", "peft") if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(bool(absent), reason=f"not installed: {absent}. make setup-tsfm")
def test_an_encoder_is_tuned_from_the_command_line(tmp_path):
    """TinyTimeMixer, since it is small; two steps. What is frozen is in the checkpoint as it was drawn."""
    line = (
        "encoder@model.encoder=ttm",
        "model.encoder.weights=random",
        "model.rank=4",
        "data.batch_size=4",
    )
    done = door(tmp_path, "train", "model=stamp_lora", "trainer=smoke", "model.stamp.depth=1", *line)
    assert done.returncode == 0, done.stderr
    assert "eval mode" not in done.stderr
    folder = only_run(tmp_path)
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    adapters = [name for name in state if "lora_" in name]
    assert adapters and all(state[name].any() for name in adapters)
    trained = [
        n for n in state if ("lora_" in n or not n.startswith("backbone.encoder")) and n != "class_weight"
    ]
    assert read_result(folder).parameters["trainable"] == sum(state[name].numel() for name in trained)
