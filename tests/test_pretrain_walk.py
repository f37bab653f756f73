"""The walk from one line: pre-train once, adapt in two ways, evaluate, report."""

import pytest

from eegfm.runs.results import read_result
from tests.command_line import call_afresh
from tests.test_walk import door

pytestmark = pytest.mark.slow

LINE = (
    "experiment=eegm2_pretrain_probe",
    "adapt=eegm2_probe,eegm2_finetune",
    "weights=pretrain",
    "data=synthetic",
    "seed=1",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "pretrain.trainer.max_epochs=2",
    "trainer.accelerator=cpu",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, simulated):
    """A folder in which the one command was run."""
    place = simulated(tmp_path_factory.mktemp("pretrain"))
    done = door(place, "train", *LINE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Pre-training first") == 1 and "cpu, chunked scan," in done.stdout
    return place


@pytest.fixture(scope="module")
def results(place):
    """The results by way of adapting; None is the pre-training."""
    folders = [path.parent for path in place.glob("runs/eegm2_pretrain_probe/*/result.json")]
    return {read_result(folder).adapt: (folder, read_result(folder)) for folder in folders}


def test_probe_and_fine_tuning_start_from_one_pre_training(results, place):
    assert set(results) == {None, "eegm2_probe", "eegm2_finetune"}
    before, pretrained = results[None]
    assert pretrained.task == "reconstruct" and pretrained.started_from == {}
    assert pretrained.scan == ["chunked"]
    for way in ("eegm2_probe", "eegm2_finetune"):
        assert place / results[way][1].started_from["weights"] == before / "checkpoints" / "best.ckpt"
    # the epochs are each run's own
    assert len((before / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert len((results["eegm2_finetune"][0] / "metrics.csv").read_text().splitlines()) == 1 + 1


def test_a_probe_of_a_pre_training_is_evaluated_to_the_same_numbers(results, place):
    folder, result = results["eegm2_probe"]
    written = (folder / "predictions_test.csv").read_bytes()
    done = call_afresh("eegfm", "evaluate", f"run={folder}", "split=test", cwd=place)
    assert done.returncode == 0, done.stderr
    assert f"{result.metrics['test']['auroc']:.4f}" in done.stdout
    (again,) = folder.glob("evaluations/test-*/predictions_test.csv")
    assert again.read_bytes() == (folder / "predictions_test.csv").read_bytes() == written


def test_the_report_names_the_ways(place):
    done = door(place, "report", "runs/eegm2_pretrain_probe")
    assert done.returncode == 0, done.stderr
    assert "eegm2_probe" in done.stdout and "eegm2_finetune" in done.stdout and "reconstruct" in done.stdout
    assert "pretrain." not in done.stdout


def test_the_same_line_again_trains_nothing(place, results):
    before = {folder: (folder / "result.json").read_bytes() for folder, _ in results.values()}
    done = door(place, "train", *LINE)
    assert done.returncode == 0 and done.stdout.count("finished already") == 2
    assert {folder: (folder / "result.json").read_bytes() for folder in before} == before
