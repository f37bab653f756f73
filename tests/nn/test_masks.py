"""A mask hides what it says, where it says; straight lines are NumPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.nn.masks import Spans, hide, interpolate

from .tokens import randn


def spans(sfreq=100.0, **kwargs):
    spec = SampleSpec(Montage(("a", "b"), np.zeros((2, 3))), (2, 100), sfreq, ())
    return Spans(spec, **({"ratio": 0.5, "span_s": 0.1} | kwargs))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    n_times=st.integers(4, 700),
    ratio=st.floats(0.05, 0.95),
    span=st.integers(1, 300),
    per_channel=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_window_has_exactly_the_promised_part_hidden(n_times, ratio, span, per_channel, seed):
    """At every length, also short ones, where a published mask hides nothing at all; or a sentence."""
    mask = spans(ratio=ratio, span_s=span / 100, per_channel=per_channel)
    x, wanted = torch.zeros(3, 2, n_times), round(ratio * n_times)
    if not 0 < wanted < n_times:
        with pytest.raises(EegfmError, match="ratio"):
            mask(x, seeded(seed))
        return
    hidden = mask(x, seeded(seed))
    assert (hidden.sum(-1) == wanted).all()
    assert per_channel or torch.equal(hidden[:, 0], hidden[:, 1])


def ring_runs(row):
    """Lengths of the hidden stretches of a window closed to a ring."""
    row = row.roll(-int((~row).nonzero()[0]))  # begins with a visible sample
    edges = torch.diff(row.int(), append=torch.zeros(1, dtype=torch.int32)).nonzero()[:, 0]
    return edges[1::2] - edges[::2]


def test_stretches_are_as_long_as_asked_and_longer_only_where_they_touch():
    hidden = spans(ratio=0.3, span_s=0.1)(torch.zeros(200, 1, 400), seeded())
    for row in hidden[:, 0]:
        runs = ring_runs(row)
        assert (runs % 10 == 0).all() and runs.sum() == 120
    assert len({len(ring_runs(row)) for row in hidden[:, 0]}) > 1  # of at most 12


def test_few_long_stretches_share_what_is_to_be_hidden():
    """64 samples in spans of 25 are three of 21 and 22, not two of 25 and a promise broken."""
    hidden = spans(ratio=0.5, span_s=0.25)(torch.zeros(50, 1, 128), seeded())
    lengths = {int(n) for row in hidden[:, 0] for n in ring_runs(row)}
    assert {21, 22} <= lengths and min(lengths) == 21


def test_every_sample_is_hidden_equally_often():
    """Also the first and the last one, which stretches laid into the window would seldom reach."""
    n = 20_000
    share = spans(ratio=0.4, span_s=0.1)(torch.zeros(n, 1, 60), seeded()).float().mean(0)[0]
    assert (share - 0.4).abs().max() < 5 * (0.4 * 0.6 / n) ** 0.5


def test_masks_of_channels_are_apart_where_asked_and_of_windows_always():
    hidden = spans(per_channel=True)(torch.zeros(8, 2, 200), seeded())
    assert len({tuple(row.tolist()) for row in hidden.flatten(0, 1)}) == 16


def test_a_generator_decides_alone():
    mask, x = spans(), torch.zeros(4, 2, 100)
    assert torch.equal(mask(x, seeded(3)), mask(x, seeded(3)))
    assert not torch.equal(mask(x, seeded(3)), mask(x, seeded(4)))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = mask(x)
        torch.manual_seed(3)
        assert torch.equal(first, mask(x))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"ratio": 0.0}, "ratio"), ({"ratio": 1.0}, "task.mask=null"), ({"span_s": 0.001}, "span_s")],
)
def test_what_cannot_be_hidden_is_refused(wrong, sentence):
    with pytest.raises(EegfmError, match=sentence):
        spans(**wrong)


def test_hidden_samples_are_zero_and_visible_ones_untouched():
    x = randn(4, 2, 100)
    hidden = spans()(x, seeded())
    assert (hide(x, hidden)[hidden] == 0).all() and torch.equal(hide(x, hidden)[~hidden], x[~hidden])


@given(n_times=st.integers(2, 60), share=st.floats(0.0, 0.95), seed=st.integers(0, 2**32))
def test_straight_lines_are_those_of_numpy(n_times, share, seed):
    """Oracle: numpy.interp, which holds the outermost visible samples as well."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, 3, n_times))
    hidden = random.random(x.shape) < share
    hidden[..., random.integers(n_times)] = False  # one visible sample at least
    found = interpolate(torch.from_numpy(x), torch.from_numpy(hidden)).numpy()
    t = np.arange(n_times)
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(
            found[i], np.interp(t, t[~hidden[i]], x[i][~hidden[i]]), rtol=0, atol=1e-12
        )


def test_a_row_that_is_hidden_whole_becomes_zero():
    x = randn(1, 2, 8)
    hidden = torch.tensor([[[True] * 8, [False] * 8]])
    found = interpolate(x, hidden)
    assert (found[0, 0] == 0).all() and torch.equal(found[0, 1], x[0, 1])
