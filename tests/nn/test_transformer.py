"""Transformers over the grid: how they start, and what is refused. What they compute: tests/parity/test_stamp.py."""

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.nn.transformer import CrissCrossLayer, CrissCrossTransformer, token_transformer
from tests.nn.tokens import seeded

WIDTH = 8
OPTIONS = {"n_heads": 4, "ff_width": 12, "dropout": 0.0}


def test_layers_of_the_criss_cross_transformer_start_apart():
    with seeded(0):
        first, second = CrissCrossTransformer(WIDTH, depth=2, **OPTIONS).layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize(("width", "n_heads"), [(8, 3), (8, 1), (9, 2), (12, 8)])
def test_heads_that_do_not_fit_are_refused(width, n_heads):
    with pytest.raises(EegfmError, match="heads must be even and divide the width"):
        CrissCrossLayer(width, **{**OPTIONS, "n_heads": n_heads})


def test_heads_of_the_token_transformer_must_divide_the_width():
    with pytest.raises(EegfmError, match="Choose a divisor"):
        token_transformer(8, depth=1, **{**OPTIONS, "n_heads": 3})
