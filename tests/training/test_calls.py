"""The calls from Python do what the commands do: the same run folders, scores, windows; and leave the process alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader

import eegfm
from eegfm.contracts import EegfmError
from eegfm.runs.intervals import intervals
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from eegfm.training.calls import Table
from eegfm.training.described import refuse_edited
from tests.command_line import call, environment
from tests.models.own_models import Net, make_classifier

pytestmark = pytest.mark.slow
ROOTS = os.pathsep.join(map(str, (ROOT := Path(__file__).parents[2], ROOT / "src")))
SHORT = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]
NET, PIPELINE = "tests.models.own_models.Net", "tests.models.own_models.make_classifier"


@pytest.fixture
def place(simulated, tmp_path, monkeypatch):
    """A working folder with the prepared simulated corpus."""
    monkeypatch.chdir(simulated(tmp_path))
    return tmp_path


def typed(place, *settings):
    """The folder of the only run, after these settings were typed on a command line."""
    done = call(
        "eegfm.train",
        "data=synthetic",
        *settings,
        cwd=place,
        env=environment(PYTHONPATH=ROOTS),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_is_scored_as_by_the_command_which_finds_its_run(place):
    before = dict(os.environ), [*sys.argv], torch.are_deterministic_algorithms_enabled()
    table = eegfm.evaluate(Net, data="synthetic", seeds=[1, 2], args={"width": 5}, settings=SHORT)
    assert before == (dict(os.environ), [*sys.argv], torch.are_deterministic_algorithms_enabled())
    (one, two) = map(str, table.attrs["runs"])
    name = os.path.basename(one)
    assert (
        name.startswith("Net-raw-synthetic-s1-")
        and "SIMULATED: no person was recorded" in table.attrs["reservations"]
    )
    scores = read_predictions(place / one / "predictions_test.csv").probabilities
    said = typed(place, "model=mine", f"model.path={NET}", "model.args.width=5", "seed=1", *SHORT)
    assert "This run is finished already" in said and name in said
    os.rename(place / "runs", place / "first")
    typed(place, "model=mine", f"model.path={NET}", "model.args.width=5", "seed=1", *SHORT)
    again = read_predictions(place / one / "predictions_test.csv").probabilities
    assert np.array_equal(scores, again)
    tables = [
        read_predictions(place / "first" / f"{run}/predictions_test.csv".partition("/")[2])
        for run in (one, two)
    ]
    results = [read_result(place / "first" / run.partition("/")[2]) for run in (one, two)]
    assert isinstance(table, pandas.DataFrame) and results[0].model == "Net"
    auroc = [result.metrics["test"]["auroc"] for result in results]
    assert table.loc["all", "auroc"] == np.mean(auroc) and table.loc["all", "auroc_sd"] == np.std(auroc)
    assert (table.loc["all", "auroc_low"], table.loc["all", "auroc_high"]) == intervals(tables)["auroc"]
    subject = [result.by_subject["test"]["S12"]["auroc"] for result in results]
    assert table.loc["S12", "auroc"] == np.mean(subject) and table.loc["S12", "windows"] == 60


def test_a_pipeline_is_scored_as_by_the_command_and_as_by_scikit_learn(place):
    pipeline = make_classifier(strength=0.5)
    table = eegfm.evaluate(pipeline, data="synthetic", name="power")
    (run,) = table.attrs["runs"]
    assert os.path.basename(run).startswith("power-raw-synthetic-s654-")
    found = read_predictions(place / run / "predictions_test.csv").probabilities
    x, y, subjects = eegfm.windows("synthetic")
    x_test, y_test, _ = eegfm.windows("synthetic", "test")
    np.testing.assert_allclose(pipeline.fit(x, y).predict_proba(x_test), found, rtol=1e-6)
    with pytest.raises(EegfmError, match="type trust="):
        eegfm.load(run, trust=["sklearn"])
    model = eegfm.load(run, trust=["sklearn", "tests.models.own_models"])
    np.testing.assert_allclose(model.estimator.predict_proba(x_test), found, rtol=1e-6)
    typed(place, "model=sklearn", f"model.path={PIPELINE}", "model.args.strength=0.5")
    (other,) = (place / "runs" / "single").glob("make_classifier-raw-synthetic-*")
    assert np.array_equal(read_predictions(other / "predictions_test.csv").probabilities, found)
    assert set(subjects) == set(read_result(other).benchmark.subjects["train"]) and len(y_test) == len(
        found
    )


def test_weights_of_a_module_are_probed_as_they_are_and_another_module_is_refused(place):
    n_channels = eegfm.datasets("synthetic").train.spec.n_channels
    net = Net(n_channels, 2, width=7)
    with pytest.raises(EegfmError, match="made again by its class, is not this module"):
        eegfm.evaluate(net, data="synthetic", how="probe")
    table = eegfm.evaluate(net, data="synthetic", how="probe", args={"width": 7})
    (run,) = table.attrs["runs"]
    result = read_result(place / run)
    assert result.task == "probe" and sorted(result.started_from["left_out"]) == [
        "classify.bias",
        "classify.weight",
    ]
    model = eegfm.load(place / run, trust=["tests.models.own_models"])
    x = torch.from_numpy(eegfm.windows("synthetic", "val")[0])
    given = []
    net.eval().classify.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        net(x)
    torch.testing.assert_close(model.embed(x), given[0])


def test_data_sets_hold_what_the_arrays_and_the_store_hold(place):
    splits = eegfm.datasets("synthetic")
    x, y, subjects = eegfm.windows("synthetic", split="val")
    assert [len(one) for one in splits] == [480, 180, 180]
    batches = list(DataLoader(splits.val, batch_size=50))
    assert torch.equal(torch.cat([one for one, _ in batches]), torch.from_numpy(x))
    assert (
        np.array_equal(torch.cat([one for _, one in batches]), y) and list(subjects) == splits.val.subjects
    )
    one, label = splits.test[-1]
    assert (
        one.shape == splits.test.spec.shape
        and label == splits.test.labels[-1]
        and len(splits.test.keys) == 180
    )
    with pytest.raises(IndexError):
        splits.test[180]


def test_mistakes_are_sentences(place):
    class Local(torch.nn.Module):
        pass

    for given, data, more, said in (
        (Net, "synthetik", {}, "Did you mean synthetic"),
        (Local, "synthetic", {}, "is defined in this session"),
        (Net, "synthetic", {"settings": ["trainer.max_epoch=1"]}, "Did you mean max_epochs"),
        (Net, "synthetic", {"how": "finetune"}, "begins with weights"),
        (Net, "synthetic", {"how": "fine"}, "how='fine'"),
        (Net, "synthetic", {"seeds": 9}, "seeds=9"),
        (make_classifier(), "synthetic", {"how": "probe"}, "is fitted anew"),
        ("tests.models.own_models.Nett", "synthetic", {}, "cannot be imported"),
        (3, "synthetic", {}, "A int was given"),
    ):
        with pytest.raises(EegfmError, match=said):
            eegfm.evaluate(given, data, **more)
    with pytest.raises(EegfmError, match="split='training'"):
        eegfm.windows("synthetic", "training")


def test_a_file_that_was_edited_since_it_was_imported_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = "from torch import nn\nclass Late(nn.Linear):\n    def forward(self, x):\n        return x.mean(-1) * 2\n"
    (tmp_path / "late.py").write_text(text)
    import late  # pyright: ignore[reportMissingImports]

    refuse_edited(late.Late)
    refuse_edited(Net)
    (tmp_path / "late.py").write_text(text.replace("2", "3"))
    with pytest.raises(EegfmError, match=r"late.py was edited after .* importlib.reload\(late\)"):
        eegfm.evaluate(late.Late, data="synthetic")


def test_the_call_outlives_the_module_of_its_name_and_importing_eegfm_loads_nothing_heavy():
    code = (
        "import sys, eegfm; assert not {'torch', 'numpy', 'hydra', 'pandas'} & sys.modules.keys(); "
        "call = eegfm.evaluate; "
        "import eegfm.evaluate; from eegfm.evaluate import main; assert callable(main)\n"
        "for one in (call, eegfm.evaluate):\n"
        "  try: one('stamp', 'synthetic', 'fine')\n"
        "  except eegfm.contracts.EegfmError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("one of these is wanted: scratch, finetune, probe") == 2, done.stderr


def test_without_pandas_the_table_is_rows():
    table = Table([{"subject": "all", "auroc": 0.5}, {"subject": "S1", "auroc": float("nan")}])
    assert (
        str(table).split() == ["subject", "auroc", "all", "0.5000", "S1", "nan"]
        and table[0]["auroc"] == 0.5
    )
