"""What `run=...` and `weights=...` mean: a run folder, one of its checkpoints, or a file from elsewhere."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from eegfm.contracts import EegfmError
from eegfm.runs.place import Place
from tests.made_run import make_run


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run of seed 3, whose checkpoint carries a config of seed 3 as well."""
    folder = tmp_path / "runs" / "single" / "stamp-spectrum-mental_arithmetic-s3-0a1b2c3d"
    make_run(folder, 3)
    (folder / "checkpoints").mkdir()
    text = (folder / "config.yaml").read_text()
    for name in ("best", "last"):
        torch.save({"state_dict": {}, "config": text}, folder / "checkpoints" / f"{name}.ckpt")
    return folder


def test_a_run_and_a_checkpoint_in_it_are_of_the_same_run(run):
    """Config and result are the run's either way; what is written about the checkpoint does not replace the run's."""
    whole, last = Place.of(run), Place.of(run / "checkpoints" / "last.ckpt")
    assert whole.checkpoint == run / "checkpoints" / "best.ckpt" and last.checkpoint == last.path
    assert whole.folder == last.folder == run
    assert whole.beside == run and last.beside == run / "checkpoints"
    assert whole.config == last.config and last.config.seed == 3
    for place in (whole, last):
        result = place.result
        assert result is not None and (result.name, result.seed) == (run.name, 3)


def test_the_kept_epoch_is_the_one_that_the_run_has_chosen_to_keep(run):
    with open(run / "config.yaml", "a") as file:
        file.write("selection: {keep: last}\n")
    assert Place.of(run).checkpoint.name == "last.ckpt"
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(EegfmError, match=r"has no last\.ckpt yet: train it first"):
        _ = Place.of(run).checkpoint


def test_a_copy_elsewhere_has_its_config_and_no_result(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    copy = Place.of(shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "elsewhere"))
    assert copy.config.seed == 3 and copy.result is None
    assert copy.folder == copy.beside == tmp_path / "elsewhere"
    (run / "result.json").unlink()  # nor has a run that goes on
    assert Place.of(run).result is None and Place.of(run / "checkpoints" / "best.ckpt").result is None


def test_a_file_of_weights_alone_says_that_it_has_no_config(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    for name in ("model.safetensors", "model.pth"):
        place = Place.of(tmp_path / name)
        assert place.checkpoint == tmp_path / name
        with pytest.raises(EegfmError, match=rf"{name} carries no config.*Name the run folder"):
            _ = place.config


def test_what_is_neither_is_refused_by_what_was_wanted(tmp_path):
    nothing = Place.of(tmp_path / "runs" / "gone")
    with pytest.raises(EegfmError, match=r"^No run and no checkpoint at .*gone: wanted a run folder"):
        _ = nothing.checkpoint
    with pytest.raises(EegfmError, match=r"^run=.*gone: wanted a run folder \(with config\.yaml\)"):
        _ = nothing.config
