"""A decision threshold chosen on validation windows: the best one, kept with the weights, and what it is worth."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from eegfm.contracts import EegfmError
from eegfm.nn.head import Threshold, make_head
from eegfm.runs.predictions import read_predictions
from eegfm.runs.reservations import threshold_sentence
from eegfm.runs.results import read_result
from eegfm.tasks.metrics import Predictions
from eegfm.training.threshold import best_threshold, worth
from tests.command_line import call
from tests.tasks.toy import Backbone


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=n, max_size=n),
            st.lists(st.integers(0, 1), min_size=n, max_size=n),
        )
    )
)
def test_no_other_threshold_has_a_higher_balanced_accuracy_and_none_as_high_is_nearer_to_one_half(drawn):
    score, label = np.array(drawn[0]), np.array(drawn[1])
    found = best_threshold(score, label)
    if len(set(label.tolist())) < 2:
        assert found == 0
        return
    right = {
        at: balanced_accuracy_score(label, score > at) for at in np.r_[found, 0, -9, 9, score, score - 0.1]
    }
    assert right[found] == pytest.approx(max(right.values()))
    assert found == 0 or right[0.0] < right[found] - 1e-12


def predictions(n_subjects: int, shift: float) -> Predictions:
    """Subjects of 40 windows whose classes differ by 2 in the logit, all of them moved by `shift`."""
    rng = np.random.default_rng(n_subjects)
    label = np.tile(np.arange(40) % 4 == 0, n_subjects).astype(np.int64)
    positive = 1 / (1 + np.exp(-(rng.normal(size=len(label)) + 2 * label - 1 + shift)))
    probability = np.stack([1 - positive, positive], axis=1)
    return Predictions(
        [str(i) for i in range(len(label))], np.repeat(np.arange(n_subjects), 40), label, probability
    )


def test_what_a_threshold_of_few_subjects_is_worth_is_measured_on_those_who_did_not_choose_it():
    found = worth(predictions(4, shift=-2.0), 0.0)
    assert (
        found["subjects"] == 4 and found["at_half"] < 0.65 < found["left_out"] <= found["balanced_accuracy"]
    )
    assert found["lowest"] <= found["probability"] <= found["highest"] < 0.5
    assert "of subjects left out of the choice 0.7" in threshold_sentence(found)
    assert "left out" not in threshold_sentence(worth(predictions(12, shift=-2.0), 0.0))
    assert threshold_sentence({}) == ""


def test_more_than_two_classes_have_no_threshold():
    head = make_head(Backbone(), 1, threshold="validation")
    assert isinstance(head[-1], Threshold)
    with pytest.raises(EegfmError, match="two classes are wanted, and there are 3"):
        make_head(Backbone(), 3, threshold="validation")


@pytest.mark.long
def test_a_run_keeps_its_threshold_in_the_weights_and_evaluate_uses_it(tmp_path):
    runs = {}
    for threshold in ("null", "validation"):
        root = tmp_path / threshold
        small = (
            "model=braindecode",
            "model.name=ShallowFBCSPNet",
            "data=synthetic",
            "trainer.max_epochs=2",
            "seed=1",
        )
        places = (f"paths.runs={root}", f"paths.cache={tmp_path / 'cache'}")
        made = call("eegfm.train", *small, *places, f"task.threshold={threshold}", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        (folder,) = (path.parent for path in root.rglob("result.json"))
        runs[threshold] = folder
    results = {name: read_result(folder) for name, folder in runs.items()}
    val = {name: one.metrics["val"] for name, one in results.items()}
    assert val["validation"]["auroc"] == pytest.approx(val["null"]["auroc"], abs=1e-9)
    assert val["validation"]["balanced_accuracy"] >= val["null"]["balanced_accuracy"]
    kept = results["validation"].threshold
    assert kept["balanced_accuracy"] == pytest.approx(val["validation"]["balanced_accuracy"])
    assert (
        kept["at_half"] == pytest.approx(val["null"]["balanced_accuracy"])
        and results["null"].threshold == {}
    )
    state = torch.load(runs["validation"] / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert float(torch.sigmoid(state["head.1.logit"])) == pytest.approx(kept["probability"], abs=1e-6)
    made = call("eegfm.evaluate", f"run={runs['validation']}", "split=test", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (scored,) = (runs["validation"] / "evaluations").rglob("scores.json")
    test = json.loads(scored.read_text())["metrics"]
    assert test["balanced_accuracy"] == pytest.approx(
        results["validation"].metrics["test"]["balanced_accuracy"]
    )
    p = read_predictions(runs["validation"] / "predictions_test.csv").probabilities[:, 1]
    q = read_predictions(runs["null"] / "predictions_test.csv").probabilities[:, 1]
    moved = np.log(p / (1 - p)) - np.log(q / (1 - q))
    np.testing.assert_allclose(moved, -float(state["head.1.logit"]), atol=1e-4)
