"""Oracle: scikit-learn called directly, and small examples worked by hand."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as sk
from torch import distributed as dist

from eegfm.contracts import EegfmError
from eegfm.tasks.metrics import Scores, monitor_of, probabilities, scores, scores_by_subject
from tests.nn.tokens import as_a_person

LEFT_RIGHT = ("left", "right")
SIX = ("spsw", "gped", "pled", "eyem", "artf", "bckg")


def two_columns(positive):
    positive = np.asarray(positive, dtype=float)
    return np.stack([1 - positive, positive], axis=1)


def one_hot(predicted, n_classes):
    return np.eye(n_classes)[np.asarray(predicted)]


def oracle(probability, labels, n_classes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if n_classes == 2:
            positive = probability[:, 1]
            decided = np.where(positive > 0.5, 1, 0)
            precision, recall, _ = sk.precision_recall_curve(labels, positive)
            return {
                "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
                "auroc": sk.roc_auc_score(labels, positive),
                "predicted_positive": sum(decided.tolist()) / len(labels),
                "auc_pr": math.nan
                if 1 < max(positive.tolist().count(p) for p in positive.tolist()) >= len(labels) / 2
                else np.trapezoid(precision[::-1], recall[::-1]),
                "average_precision": sk.average_precision_score(labels, positive),
                "prevalence": sum(labels) / len(labels),
            }
        decided = [max(range(n_classes), key=lambda c: row[c]) for row in probability.tolist()]
        return {
            "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
            "most_predicted": max(decided.count(c) for c in range(n_classes)) / len(labels),
            "cohen_kappa": sk.cohen_kappa_score(labels, decided),
            "weighted_f1": sk.f1_score(labels, decided, average="weighted"),
            "accuracy": sk.accuracy_score(labels, decided),
        }


# Few levels and few windows: ties (at 0.5 too), absent classes and single samples are then the rule, not the exception.
BINARY = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-12, 0.75, 1.0]), min_size=n, max_size=n),
        npst.arrays(np.int64, n, elements=st.integers(0, 1)),
    )
)
MULTI = st.tuples(st.integers(3, 6), st.integers(1, 12)).flatmap(
    lambda size: st.tuples(
        npst.arrays(np.float64, (size[1], size[0]), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        npst.arrays(np.int64, size[1], elements=st.integers(0, size[0] - 1)),
    )
)


@settings(max_examples=60)
@given(BINARY)
@example(([0.5], np.array([1])))
@example(([0.7], np.array([0])))
@example(([0.1, 0.6, 0.2], np.array([0, 0, 0])))
@example(([0.1, 0.6, 0.2], np.array([1, 1, 1])))
@example(([0.5, 0.5, 0.5], np.array([0, 1, 1])))
def test_two_classes_equal_scikit_learn_and_nothing_warns(case):
    probability, labels = two_columns(case[0]), case[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores(probability, labels, 2)
    assert found == pytest.approx(oracle(probability, labels, 2), rel=1e-12, nan_ok=True)


@settings(max_examples=60)
@given(MULTI)
@example((one_hot([0, 1, 2], 3), np.array([0, 0, 1])))  # class 2 is predicted and never true
@example((one_hot([1, 1], 4), np.array([1, 1])))  # one class everywhere
@example((one_hot([2], 3), np.array([1])))
@example((np.full((2, 3), 1 / 3), np.array([0, 2])))  # ties go to the earlier class
def test_more_classes_equal_scikit_learn_and_nothing_warns(case):
    probability, labels = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores(probability, labels, probability.shape[1])
    assert found == pytest.approx(oracle(probability, labels, probability.shape[1]), rel=1e-12, nan_ok=True)


def test_two_classes_by_hand():
    """Ranked 0.9+ 0.8- 0.7+ 0.2-. Precision 1, 1/2, 2/3, 1/2 at recall 1/2, 1/2, 1, 1, from (0, 1)."""
    found = scores(two_columns([0.9, 0.8, 0.7, 0.2]), np.array([1, 0, 1, 0]), 2)
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["auroc"] == pytest.approx(3 / 4)  # of four pairs, (0.7+, 0.8-) is in the wrong order
    assert found["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found["auc_pr"] == pytest.approx(1 / 2 * 1 + 1 / 2 * (1 / 2 + 2 / 3) / 2)  # 0.7917, not 0.8333
    assert found["prevalence"] == 1 / 2


def test_one_score_of_half_of_all_windows_has_no_trapezoid():
    """Of one score for all windows it would be (1 + prevalence) / 2: 2.5 times chance at a quarter."""
    labels = np.array([1, 0, 0, 0])
    constant = scores(two_columns([0.25] * 4), labels, 2)
    assert (
        math.isnan(constant["auc_pr"]) and constant["average_precision"] == constant["prevalence"] == 1 / 4
    )
    assert math.isnan(scores(two_columns([0.9, 0.5, 0.5, 0.1]), labels, 2)["auc_pr"])
    assert scores(two_columns([0.9, 0.5, 0.4, 0.1]), labels, 2)["auc_pr"] == 1


def test_a_probability_of_exactly_one_half_is_the_first_class():
    assert scores(two_columns([0.5]), np.array([0]), 2)["balanced_accuracy"] == 1
    assert scores(two_columns([0.5]), np.array([1]), 2)["balanced_accuracy"] == 0
    assert scores(probabilities(torch.zeros(1, 1)), np.array([0]), 2)["balanced_accuracy"] == 1


def test_one_class_in_the_labels_gives_what_the_docstring_says():
    only_second = scores(two_columns([0.1, 0.6]), np.array([1, 1]), 2)
    assert (
        math.isnan(only_second["auroc"]) and only_second["auc_pr"] == 1 and only_second["prevalence"] == 1
    )
    only_first = scores(two_columns([0.1, 0.6]), np.array([0, 0]), 2)
    assert (
        math.isnan(only_first["auroc"])
        and only_first["auc_pr"] == 0.5
        and only_first["average_precision"] == 0
    )
    assert math.isnan(scores(one_hot([1, 1], 3), np.array([1, 1]), 3)["cohen_kappa"])
    assert scores(one_hot([1, 2], 3), np.array([1, 1]), 3)["cohen_kappa"] == 0


def test_by_subject_scores_each_subject_alone():
    generator = np.random.default_rng(0)
    probability, labels = two_columns(generator.random(40)), generator.integers(0, 2, 40)
    subjects = generator.choice([7, 3, 5], 40)
    found = scores_by_subject(probability, labels, subjects, 2)
    assert list(found) == [3, 5, 7]
    for subject, values in found.items():
        mine = subjects == subject
        assert values == oracle(probability[mine], labels[mine], 2)


@pytest.mark.parametrize(
    ("probability", "labels", "says"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "no window to score"),
        (np.array([[0.5, np.nan], [0.5, 0.5]]), np.array([0, 1]), "1 of 2 windows: training has diverged"),
        (np.array([[np.nan, np.nan], [0.5, 0.5]]), np.array([0, 1]), "1 of 2 windows"),
        (np.array([[-2.0, 0.5]]), np.array([0]), "from -2 to 0.5"),
        (np.array([[0.5, 3.0]]), np.array([0]), "from 0.5 to 3"),
        (np.array([[0.5, 0.5]]), np.array([2]), "labels from 2 to 2 for 2 classes"),
        (np.array([[0.5, 0.5]]), np.array([-1]), "labels from -1 to -1 for 2 classes"),
        (np.array([0.5]), np.array([0]), r"\(1,\) for 1 labels; wanted .* \(1, 2\)"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_reason(probability, labels, says):
    with pytest.raises(EegfmError, match=says), as_a_person():
        scores(probability, labels, 2)


def test_confident_logits_do_not_become_ties():
    """In float32 both sigmoids are exactly 1, and the AUROC of this perfect ranking would be 0.5."""
    logits = torch.tensor([[20.0], [25.0]])
    assert torch.sigmoid(logits).unique().numel() == 1
    assert scores(probabilities(logits), np.array([0, 1]), 2)["auroc"] == 1


@pytest.mark.parametrize(("classes", "n_logits"), [(LEFT_RIGHT, 1), (SIX, 6)])
def test_the_metric_scores_the_whole_split_whatever_the_batches(classes, n_logits):
    """The mean of per-batch scores would differ; `reset` forgets everything."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(53, n_logits, generator=generator)
    labels = torch.randint(len(classes), (53,), generator=generator)
    subjects = torch.arange(53) // 9
    expected = oracle(probabilities(logits), labels.numpy(), len(classes))
    metric = Scores(classes)
    for _ in range(2):
        metric.reset()
        for part in torch.arange(53).split(8):
            metric.update(logits[part], labels[part], subjects[part])
        found = {name: value.item() for name, value in metric.compute().items()}
        assert found == pytest.approx(expected, rel=1e-6)
        kept = metric.predictions([str(i) for i in range(53)])
        np.testing.assert_array_equal(kept.subject, subjects.numpy())
        np.testing.assert_array_equal(kept.label, labels.numpy())
        assert oracle(kept.probability, kept.label, len(classes)) == expected
        assert kept.keys == [str(i) for i in range(53)]


def half_of_a_split(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    logits, labels = torch.load(folder / "split.pt", weights_only=True)
    mine = slice(0, 5) if rank == 0 else slice(5, None)
    metric = Scores(SIX)
    metric.update(logits[mine], labels[mine], torch.zeros_like(labels[mine]))
    found = {name: value.item() for name, value in metric.compute().items()}
    whole = metric.predictions([str(i) for i in range(16)][mine])
    assert len(metric.labels[0]) == len(labels[mine])  # its own, as before
    torch.save((found, whole.keys, torch.from_numpy(whole.label)), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_the_whole_split(tmp_path):
    """Unequal halves; each process has the predictions of all windows, in the order of the halves."""
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(16, 6, generator=generator), torch.randint(6, (16,), generator=generator)
    torch.save((logits, labels), tmp_path / "split.pt")
    torch.multiprocessing.spawn(half_of_a_split, args=(tmp_path,), nprocs=2)
    expected = oracle(probabilities(logits), labels.numpy(), 6)
    for rank in (0, 1):
        found, keys, label = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == pytest.approx(expected, rel=1e-6)
        assert keys == [str(i) for i in range(16)] and torch.equal(label, labels)


def test_probabilities_are_the_sigmoid_or_the_softmax():
    np.testing.assert_allclose(probabilities(torch.tensor([[math.log(3)]])), [[1 / 4, 3 / 4]], rtol=1e-6)
    odds = torch.tensor([[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(probabilities(odds.log()), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)


@pytest.mark.parametrize("classes", [LEFT_RIGHT, SIX])
def test_the_monitor_is_a_metric_that_is_computed(classes):
    name, mode = monitor_of(classes)
    n = len(classes)
    found = scores(one_hot(np.arange(n), n), np.arange(n), n)
    assert mode == "max" and found[name] == 1
    assert name == ("auroc" if n == 2 else "cohen_kappa")
