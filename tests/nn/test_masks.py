"""A mask hides what it says, where it says; straight lines are NumPy's."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.nn.masks import Blocks, Samples, Semantic, Spans, Subsequences, hide, interpolate

from .tokens import randn

SPEC = SampleSpec(Montage(("a", "b"), np.zeros((2, 3))), (2, 100), 100.0, ())
OTHERS = (Samples, Blocks, Subsequences, Semantic)


def spans(**kwargs):
    return Spans(SPEC, **({"ratio": 0.5, "span_s": 0.1} | kwargs))


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
    """At every length, also at short ones for which a published mask hides nothing; or an error says why."""
    mask = spans(ratio=ratio, span_s=span / 100, per_channel=per_channel)
    x, wanted = torch.zeros(3, 2, n_times), round(ratio * n_times)
    if not 0 < wanted < n_times:
        with pytest.raises(EegfmError, match="ratio"):
            mask(x, seeded(seed))
        return
    hidden = mask(x, seeded(seed))
    assert (hidden.sum(-1) == wanted).all()
    assert per_channel or torch.equal(hidden[:, 0], hidden[:, 1])


@pytest.mark.parametrize("kind", OTHERS)
@given(
    n_times=st.integers(2, 700),
    ratio=st.floats(0.02, 0.98),
    n=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
def test_the_others_keep_the_promise_too_whatever_the_length_and_the_number_of_blocks(
    kind, n_times, ratio, n, seed
):
    """Exactly, on all channels alike; or a sentence, and that only where so many blocks have no room."""
    argument = {Samples: {}, Blocks: {"per_window": n}}.get(kind, {"n_visible": n})
    mask, wanted = kind(SPEC, ratio=ratio, **argument), round(ratio * n_times)
    x, seen = torch.zeros(3, 2, n_times), n_times - wanted
    room = {Samples: True, Blocks: n_times >= n, Subsequences: n <= seen, Semantic: n <= seen / 2}[kind]
    if kind in (Subsequences, Semantic):
        room = room and n <= wanted  # and something hidden between any two
    if not (0 < wanted < n_times and room):
        with pytest.raises(EegfmError, match=r"ratio|per_window|n_visible"):
            mask(x, seeded(seed))
        return
    hidden = mask(x, seeded(seed))
    assert (hidden.sum(-1) == wanted).all() and torch.equal(hidden[:, 0], hidden[:, 1])


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


@given(
    n_times=st.integers(8, 700), ratio=st.floats(0.1, 0.9), n=st.integers(1, 30), seed=st.integers(0, 2**32)
)
def test_so_many_blocks_are_left_to_see_and_are_as_long_as_promised(n_times, ratio, n, seed):
    """On the ring they have one length, or half to one and a half times the average, to within a sample."""
    seen = n_times - round(ratio * n_times)
    for kind, low, high in ((Subsequences, 1.0, 1.0), (Semantic, 0.5, 1.5)):
        if n > min(n_times - seen, seen * low):
            continue
        for row in kind(SPEC, ratio=ratio, n_visible=n)(torch.zeros(3, 1, n_times), seeded(seed))[:, 0]:
            runs = ring_runs(~row)
            assert len(runs) == n and runs.sum() == seen
            assert runs.min() > low * seen / n - 1 and runs.max() < high * seen / n + 1


def test_lengths_of_semantic_blocks_are_of_the_whole_range_and_alike_in_every_place():
    """No block is the remainder of the others, as the last block of the published mask is."""
    mask = Semantic(SPEC, ratio=0.5, n_visible=4)
    rows = mask(torch.zeros(4000, 1, 800), seeded())[:, 0]
    runs = torch.stack([ring_runs(~row) for row in rows]).double()  # beginning anywhere on the ring
    assert runs.min() < 55 and runs.max() > 145 and runs.mean() == 100
    spread = runs.std(0)
    assert spread.min() > 20 and spread.max() / spread.min() < 1.1


def test_blocks_are_a_part_of_the_window_and_alike():
    for n_times in (256, 1280):
        for row in Blocks(SPEC, ratio=0.5)(torch.zeros(100, 1, n_times), seeded())[:, 0]:
            assert (ring_runs(row) % (n_times // 8) == 0).all()
    lengths = {
        int(n)
        for row in Blocks(SPEC, ratio=0.3)(torch.zeros(200, 1, 250), seeded())[:, 0]
        for n in ring_runs(row)
    }
    assert {37, 38} <= lengths and min(lengths) == 37  # 75 hidden in two blocks of about 31


@pytest.mark.parametrize(
    "mask", [partial(Spans, span_s=0.1), Samples, Blocks, Subsequences, partial(Semantic, n_visible=5)]
)
def test_every_sample_is_hidden_equally_often(mask):
    """Also the first and the last one, which stretches laid into the window would seldom reach."""
    n = 20_000
    share = mask(SPEC, ratio=0.4)(torch.zeros(n, 1, 60), seeded()).float().mean(0)[0]
    assert (share - 0.4).abs().max() < 5 * (0.4 * 0.6 / n) ** 0.5


def test_masks_of_channels_are_apart_where_asked_and_of_windows_always():
    hidden = spans(per_channel=True)(torch.zeros(8, 2, 200), seeded())
    assert len({tuple(row.tolist()) for row in hidden.flatten(0, 1)}) == 16


@pytest.mark.parametrize("mask", [spans(), *(kind(SPEC, ratio=0.5) for kind in OTHERS)])
def test_a_generator_decides_alone(mask):
    x = torch.zeros(4, 2, 100)
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


@pytest.mark.parametrize("kind", OTHERS)
def test_what_the_others_cannot_hide_is_refused(kind):
    wrong = [{"ratio": 0.0}, {"ratio": 1.0}]
    wrong += [
        {"ratio": 0.5, name: 0} for name in {Samples: (), Blocks: ("per_window",)}.get(kind, ("n_visible",))
    ]
    for arguments in wrong:
        with pytest.raises(EegfmError, match=r"task\.mask"):
            kind(SPEC, **arguments)


def test_a_refusal_says_how_many_blocks_there_is_room_for():
    with pytest.raises(EegfmError, match=r"task\.mask\.n_visible=4$"):
        Semantic(SPEC, ratio=0.5, n_visible=8)(torch.zeros(1, 1, 16))
    assert Semantic(SPEC, ratio=0.5, n_visible=4)(torch.zeros(1, 1, 16)).sum() == 8


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
