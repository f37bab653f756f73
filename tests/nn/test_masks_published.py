"""The published masks hide what was measured of the reference, not what they say."""

from functools import partial

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.nn.masks_published import Blocks, Samples, Semantic, Subsequences

from .test_masks import SPEC, seeded

ALL = (Samples, Blocks, Subsequences, partial(Subsequences, evenly_spaced=True), Semantic)


def shares(mask, n_times, n=4000):
    """Hidden part of every one of n windows."""
    return mask(SPEC)(torch.zeros(n, 1, n_times), seeded()).double().mean((1, 2))


@pytest.mark.parametrize(
    ("mask", "n_times", "mean", "least", "most"),
    [
        (Samples, 256, 0.5, 0.5, 0.5),
        (partial(Samples, ratio=0.3), 33, 9 / 33, 9 / 33, 9 / 33),
        (Blocks, 256, 0.408, 0.14, 0.5),
        (Blocks, 1280, 0.408, 0.13, 0.5),
        (Subsequences, 256, 0.5, 0.5, 0.5),
        (Subsequences, 1280, 0.5, 0.5, 0.5),
        (partial(Subsequences, evenly_spaced=True), 256, 0.5, 0.5, 0.5),
        (Semantic, 1280, 0.498, 0.36, 0.5),
        (Semantic, 256, 0.498, 0.36, 0.5),
        (Semantic, 64, 0.473, 0.375, 0.5),
        (Semantic, 32, 0.0, 0.0, 0.0),  # nothing at all
    ],
)
def test_the_hidden_part_is_the_one_measured_of_the_reference(mask, n_times, mean, least, most):
    found = shares(mask, n_times)
    assert found.mean() == pytest.approx(mean, abs=0.003)
    assert found.min() >= least - 1e-9 and found.max() <= most + 1e-9


def test_overlapping_blocks_hide_little_of_some_windows():
    assert shares(Blocks, 256, n=20_000).min() < 0.2


@pytest.mark.parametrize("mask", ALL)
def test_all_channels_are_masked_alike_and_a_generator_decides_alone(mask):
    x = torch.zeros(8, 3, 128)
    hidden = mask(SPEC)(x, seeded(3))
    assert torch.equal(hidden, mask(SPEC)(x, seeded(3))) and not torch.equal(
        hidden, mask(SPEC)(x, seeded(4))
    )
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    assert len({tuple(row.tolist()) for row in hidden[:, 0]}) == 8  # windows apart


def test_samples_at_the_ends_are_not_hidden_as_often_as_others():
    """Ours promises it and these do not; the test also names the samples that they never hide."""
    often = {mask: mask(SPEC)(torch.zeros(20_000, 1, 64), seeded()).double().mean(0)[0] for mask in ALL}
    assert often[Blocks][-1] == 0 and often[Blocks][0] < 0.1 < 0.4 < often[Blocks][32]
    assert often[Subsequences][0] > 0.7 and often[Subsequences][32] < 0.55
    assert often[Subsequences][-1] == 1 > often[Subsequences][-2]
    assert (often[Samples] - 0.5).abs().max() < 0.02
    assert often[Semantic][0] > 0.6


def test_evenly_spaced_blocks_are_one_an_interval():
    for row in Subsequences(SPEC, evenly_spaced=True)(torch.zeros(50, 1, 256), seeded())[:, 0]:
        assert ((~row).view(8, 32).sum(1) == 16).all()


def test_semantic_blocks_are_of_the_published_lengths():
    """Half to one and a half times the average of 16 where gaps keep them apart; the last one is the rest."""
    edge, lengths = torch.zeros(500, 1, dtype=torch.int32), []
    seen = (~Semantic(SPEC)(torch.zeros(500, 1, 256), seeded())[:, 0]).int()
    for row in torch.diff(torch.cat([edge, seen, edge], dim=1)):
        starts, stops = (row == 1).nonzero()[:, 0], (row == -1).nonzero()[:, 0]
        if len(starts) == 8:  # in the others, blocks touch
            lengths += (stops - starts)[:-1].tolist()
    assert min(lengths) == 8 and 20 < max(lengths) <= 24


@pytest.mark.parametrize(("mask", "n_times"), [(Semantic, 31), (Blocks, 7), (Subsequences, 1)])
def test_windows_that_the_reference_does_not_foresee_are_a_sentence(mask, n_times):
    with pytest.raises(EegfmError, match=r"eegfm\.nn\.masks"):
        mask(SPEC)(torch.zeros(2, 1, n_times), seeded())
