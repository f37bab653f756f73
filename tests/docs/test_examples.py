"""The examples run, and what they write out by hand is what the framework computes."""

import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from eegfm.contracts import Montage, SampleSpec
from eegfm.encoders.spectrum import Spectrum
from eegfm.models.stamp import Stamp
from eegfm.runs.results import read_result
from tests.command_line import call

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = (  # of a tensor of the example, and of ours
    ("project.", "projection."), ("place", "position.spatial"), ("blocks.", "mixer.blocks."), ("into.", "proj_1."),
    (r"(?<=\d\.)out\.", "proj_2."), ("time.", "gate_temporal."), ("space.", "gate_spatial."),
    ("queries", "pooling.queries"), ("^keys.", "pooling.project."), ("^out.", "pooling.out_proj."),
)  # fmt: skip


@pytest.fixture(scope="module")
def simple():
    spec = importlib.util.spec_from_file_location("train_simple", EXAMPLES / "train_simple.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_network_written_out_is_stamp_over_spectra(simple):
    x = 20 * torch.randn(3, 5, 800, generator=torch.Generator().manual_seed(1))
    tokens = simple.spectra(x)
    assert torch.allclose(tokens.flatten(0, 2), Spectrum().encode(x.reshape(-1, 200)), atol=1e-4)
    by_hand = simple.Stamp(5, 4, 45, tokens.mean((0, 2)), tokens.std((0, 2))).eval()
    montage = Montage(tuple("ABCDE"), np.zeros((5, 3)))
    ours = Stamp(
        SampleSpec(montage, (5, 4, 45), 200.0, ("a", "b")),
        width=64, depth=2, positions=["spatial"], input_norm="none",
    ).eval()  # fmt: skip
    state = {}
    for name, value in by_hand.state_dict().items():
        if not name.startswith(("mean", "std", "head")):
            for old, new in NAMES:
                name = re.sub(old, new, name) if not name.startswith(new) else name
            state[name] = value
    ours.load_state_dict(state)
    normed = (tokens - by_hand.mean[:, None]) / by_hand.std[:, None]
    with torch.no_grad():
        wanted = by_hand.head(ours.embed(normed, torch.zeros(5, 3)))[:, 0]
        assert torch.allclose(by_hand(tokens), wanted, atol=1e-5)


@pytest.mark.slow
def test_the_loop_written_out_learns_and_says_how_well_by_person(
    simple, simulated, tmp_path, capsys, monkeypatch
):
    store = next(simulated(tmp_path).glob("data/cache/synthetic/*/raw_files.json")).parent
    monkeypatch.setattr(simple, "EPOCHS", 6)
    simple.main(store)
    rows = re.findall(
        r"(\w+) +(\d+) windows +balanced accuracy ([\d.]+) +AUROC ([\d.]+)", capsys.readouterr().out
    )
    assert [row[:2] for row in rows] == [("all", "180"), ("S12", "60"), ("S13", "60"), ("S14", "60")]
    assert float(rows[0][3]) > 0.9


def copied(name: str, place: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / name, place / name))


@pytest.mark.slow
def test_a_benchmark_outside_of_the_package_is_prepared_verified_and_trained(tmp_path):
    place = copied("own_benchmark", tmp_path)
    done = call("eegfm", "train", "data=eyes", "row=bandpower", cwd=place)
    assert done.returncode == 0, done.stderr
    (run,) = (place / "runs" / "single").glob("bandpower-raw-eyes-*")
    result = read_result(run)
    assert result.benchmark.subjects["test"] == ["G", "H", "I"] and result.metrics["test"]["auroc"] > 0.95
    assert "SIMULATED" in done.stdout
    checked = call("eegfm", "verify", "data=eyes", cwd=place)
    assert checked.returncode == 0 and "0 warnings, 0 off" in checked.stdout, checked.stdout


@pytest.mark.slow
def test_a_model_outside_of_the_package_is_checked_and_trained_by_its_recipe(tmp_path, simulated):
    place = simulated(copied("own_model", tmp_path))
    done = call("eegfm", "check", "model=filters", "data=synthetic", cwd=place)
    assert done.returncode == 0 and done.stdout.count("\n  ok ") == 8, done.stdout + done.stderr
    done = call("eegfm", "train", "model=filters", "data=synthetic", cwd=place)
    assert done.returncode == 0, done.stderr
    (run,) = (place / "runs" / "single").glob("filters-raw-synthetic-*")
    assert read_result(run).metrics["test"]["auroc"] > 0.9
    assert len((run / "metrics.csv").read_text(encoding="utf-8").splitlines()) == 4, (
        "three epochs, as its recipe says"
    )
