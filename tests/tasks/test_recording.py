"""One decision for a recording, and its stretches of one decision."""

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.tasks.recording import PredictedRecording


def of(probability, second=None, *, window_s=4.0, hop_s=4.0) -> PredictedRecording:
    rows = np.asarray(probability, dtype=float)
    rows = np.stack([1 - rows, rows], axis=1) if rows.ndim == 1 else rows
    return PredictedRecording(
        recording="a",
        classes=("rest", "task", "other")[: rows.shape[1]],
        second=hop_s * np.arange(len(rows), dtype=float)
        if second is None
        else np.array(second, dtype=float),
        probability=rows,
        window_s=window_s,
        hop_s=float(hop_s),
        channels={},
    )


def test_the_mean_and_the_vote_may_disagree():
    found = of([0.6, 0.6, 0.1])
    assert found.decision() == found.decision("mean") == "rest" and found.decision("vote") == "task"
    assert found.votes.tolist() == [1, 2] and found.mean.tolist() == pytest.approx([1.7 / 3, 1.3 / 3])
    with pytest.raises(EegfmError, match=r"decide=median: one of these is wanted: mean, vote"):
        found.decision("median")


def test_a_tie_of_votes_goes_to_the_larger_mean_and_a_tie_of_both_to_the_first():
    assert of([0.9, 0.2]).decision("vote") == "task"
    assert of([0.8, 0.2]).decision("vote") == "rest" == of([0.5]).decision()
    three = of([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.2, 0.1, 0.7]])
    assert three.decision("vote") == "other" and three.decision() == "other"


def test_stretches_of_one_decision_end_with_their_window_and_at_gaps():
    assert of([0.1, 0.2, 0.9]).notes() == [(0, 8, "rest"), (8, 4, "task")]
    # a gap between 8 and 100
    assert of([0.9, 0.9, 0.9], [0, 4, 100]).notes() == [(0, 8, "task"), (100, 4, "task")]
    # overlapping: a decision holds until the next window begins
    assert of([0.1, 0.9, 0.9], hop_s=1).notes() == [(0, 1, "rest"), (1, 5, "task")]
    # apart: nothing is said of the time between
    assert of([0.1, 0.1], hop_s=9).notes() == [(0, 4, "rest"), (9, 4, "rest")]


def test_a_data_frame_has_a_row_a_window():
    pandas = pytest.importorskip("pandas")
    frame = of([0.25, 0.9]).to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == ["window", "second", "p(rest)", "p(task)", "decision"]
    assert frame.iloc[1].tolist() == [1, 4.0, pytest.approx(0.1), 0.9, "task"]
