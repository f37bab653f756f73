"""The walk of a model that leaves: trained, exported, read in another process, where it predicts the same."""

import subprocess
import sys

import numpy as np
import pytest

from eegfm.export.from_run import data_of
from eegfm.runs.predictions import read_predictions
from tests.command_line import call, call_afresh, environment
from tests.test_walk import door, only_run

pytestmark = [pytest.mark.slow, pytest.mark.long]

QUICK = ("data=synthetic", "trainer.accelerator=cpu", "trainer.max_epochs=1")
MODELS = {
    "stamp": ("model=stamp", "encoder=spectrum", "model.depth=1", "model.width=16", "model.ff_width=16"),
    "samba": ("model=samba", "task=classify", "model.width_scale=8", "trainer.limit_train_batches=2"),
    "eegm2": (
        "model=eegm2",
        "adapt=ridge",
        "model.width_scale=8",
        "task.layer=pool3",
        "task.pooling=logcov",
    ),
    "eegm2_lora": ("model=eegm2", "adapt=lora", "model.width_scale=8", "trainer.limit_train_batches=2"),
    "bandpower": ("model=bandpower",),
}
READ = """
import sys, numpy as np, torch, eegfm
model = eegfm.load(sys.argv[1])
with torch.no_grad():
    np.save(sys.argv[3], model(np.load(sys.argv[2])).numpy())
assert not {"hydra", "lightning"} & set(sys.modules)
"""


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_run_predicts_in_another_process_what_the_run_did(name, tmp_path):
    """It takes windows in microvolts, through the encoder if there is one, and gives the run's own table."""
    trained = [o for o in QUICK if name in ("stamp", "samba", "eegm2_lora") or o.startswith("data")]
    done = door(tmp_path, "train", *MODELS[name], *trained)
    assert done.returncode == 0, done.stderr
    run, folder = only_run(tmp_path), tmp_path / "elsewhere"
    export = call_afresh if name == "stamp" else call
    done = export("eegfm", "export", str(run.relative_to(tmp_path)), "--to", str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = read_predictions(run / "predictions_test.csv")
    x, files = windows_of(run, tmp_path), [str(tmp_path / file) for file in ("x.npy", "y.npy")]
    np.save(files[0], x)
    subprocess.run([sys.executable, "-c", READ, str(folder), *files], check=True, env=environment())
    np.testing.assert_allclose(np.load(files[1]), table.probabilities, atol=1e-5)


def windows_of(run, place) -> np.ndarray:
    """The test windows of a run in microvolts, in stored order."""
    from eegfm.runs.place import Place

    config = Place.of(run).config
    config.data.cache = str(place / config.data.cache)
    data = data_of(config)
    data.setup("test")
    return data.arrays("test")[0]
