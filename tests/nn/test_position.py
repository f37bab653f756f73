"""Positions: how tables start, and the convolution over the grid against one written as loops."""

import math

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.nn.position import GridConv, LearnedPositions, SinusoidalPositions, sinusoids
from tests.nn.tokens import as_a_person, float64, randn, randomise, seeded


def test_tables_are_drawn_from_a_standard_normal():
    with seeded(0):
        module = LearnedPositions(50, 40, 64)
    for table in module.parameters():
        assert abs(table.mean()) < 0.1
        assert abs(table.std() - 1) < 0.05


def test_the_base_of_the_sinusoids_is_the_length_of_the_table():
    """At the last position of 16 rows and 8 dimensions, frequency i is 16 ** (-i / 4): 1, 1/2, 1/4, 1/8."""
    row = sinusoids(16, 8)[15]
    expected = [f(15 * w) for w in (1, 1 / 2, 1 / 4, 1 / 8) for f in (math.sin, math.cos)]
    torch.testing.assert_close(row, torch.tensor(expected, dtype=torch.float64))


def test_a_table_of_one_row_is_finite():
    """ln 1 = 0: every frequency is one."""
    torch.testing.assert_close(sinusoids(1, 6)[0], torch.tensor([0.0, 1, 0, 1, 0, 1], dtype=torch.float64))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 1), (1, 3), (7, 5)], ids=str)
@pytest.mark.parametrize("mix", [False, True])
def test_grid_convolution_is_its_loops(kernel, mix):
    """Depthwise, zero outside the grid, `kernel` as (channels, seconds), added to the tokens."""
    n_times, n_channels, width = 3, 4, 2
    with float64():
        module = randomise(GridConv(width, kernel=kernel, mix=mix))
        x = randn(2, n_times, n_channels, width)
        expected = torch.zeros_like(x)
        for b in range(2):
            for t in range(n_times):
                for s in range(n_channels):
                    for w in range(width):
                        total = module.conv.bias[w].item()
                        for i in range(kernel[0]):
                            for j in range(kernel[1]):
                                s2, t2 = s + i - kernel[0] // 2, t + j - kernel[1] // 2
                                if 0 <= s2 < n_channels and 0 <= t2 < n_times:
                                    total += module.conv.weight[w, 0, i, j].item() * x[b, t2, s2, w].item()
                        expected[b, t, s, w] = total
        if mix:
            expected = expected @ module.mix.weight.T + module.mix.bias
        torch.testing.assert_close(module(x), x + expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kernel", [(2, 2), (4, 1), (3, 9)], ids=str)
def test_even_and_overlong_kernels_keep_the_grid(kernel):
    x = randn(2, 3, 4, 2)
    assert GridConv(2, kernel=kernel)(x).shape == x.shape


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (["sptial"], "Choose one of: token, spatial, temporal"),
        (["token", "token"], "twice"),
        ("token", r"positions=\[token\]"),
    ],
)
def test_a_wrong_list_of_tables_is_refused_with_a_sentence(tables, sentence):
    for kind in (LearnedPositions, SinusoidalPositions):
        with as_a_person(), pytest.raises(EegfmError, match=sentence):
            kind(2, 3, 4, tables=tables)


@pytest.mark.parametrize("kernel", [(3,), (3, 0), (3, 3, 3)], ids=str)
def test_a_wrong_kernel_is_refused_with_a_sentence(kernel):
    with pytest.raises(EegfmError, match="two positive sizes"):
        GridConv(4, kernel=kernel)
