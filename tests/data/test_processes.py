"""Several processes have the windows of one, each once, in as many steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.data.loaders import Windows
from eegfm.data.processes import block, refuse_too_many, share


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(1, 9))
def test_the_mean_of_a_batch_is_that_of_the_processes_by_their_parts(values, n_ranks):
    """So is the gradient, since it is a sum over windows."""
    shares = [share(range(len(values)), rank, n_ranks) for rank in range(n_ranks)]
    assert all(shares) and max(map(len, shares)) - min(map(len, shares)) <= 1
    assert {i for own in shares for i in own} == set(range(len(values)))
    if len(values) >= n_ranks:
        assert [i for own in shares for i in own] == list(range(len(values)))
    means = [own.part * sum(values[i] for i in own) / len(own) for own in shares]
    assert sum(means) / n_ranks == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert share(range(len(values)), 0, 1).part == 1


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 9), st.integers(1, 12), st.integers(0, 3))
def test_a_step_sees_the_same_windows_however_many_processes_there_are(n, n_ranks, batch_size, skipped):
    def epoch(rank, n_ranks):
        order = Windows(n, batch_size, 3, rank=rank, n_ranks=n_ranks)
        order.skip(0, skipped)
        assert len(order) == -(-n // batch_size)
        return [list(own) for own in order]

    whole = epoch(0, 1)
    for step, *shares in zip(whole, *(epoch(rank, n_ranks) for rank in range(n_ranks)), strict=True):
        assert {i for own in shares for i in own} == set(step)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 20))
def test_blocks_in_a_row_are_the_split_in_equally_many_batches(n, n_ranks, batch_size):
    if n < n_ranks:
        with pytest.raises(EegfmError, match=rf"The val split has {n} windows, fewer than .*\({n_ranks}\)"):
            refuse_too_many(n_ranks, n_ranks, {"val": n})
        return
    blocks = [block(n, batch_size, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)]
    assert [i for batches in blocks for batch in batches for i in batch] == list(range(n))
    assert len({len(batches) for batches in blocks}) == 1
    assert max(len(batch) for batches in blocks for batch in batches) <= -(-batch_size // n_ranks) + 1
    one = block(n, batch_size, rank=0, n_ranks=1)
    assert [len(batch) for batch in one[:-1]] == [batch_size] * (len(one) - 1)
