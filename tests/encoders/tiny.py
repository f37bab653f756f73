"""Encoders as published but for their size, so that a test takes a second."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from eegfm.contracts import Encodes
from eegfm.encoders import chronos, chronos_2, chronos_bolt
from eegfm.encoders.base import Pretrained
from eegfm.encoders.chronos import Chronos
from eegfm.encoders.chronos_2 import Chronos2
from eegfm.encoders.chronos_bolt import ChronosBolt
from eegfm.encoders.moment import SIZES, Moment, Size
from tests.nn.tokens import CastsAreDouble, float64


def noise(n: int, *, seed: int = 0) -> torch.Tensor:
    """Series with the size and the slowness of EEG, in µV: a random walk with its own offset."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(n, 200, generator=generator).cumsum(1) + 30 * torch.randn(
        n, 1, generator=generator
    )


@contextmanager
def in_double(*encoders: Encodes) -> Iterator[None]:
    """They compute in double precision, and have their own float32 weights again afterwards, to the bit."""
    networks = [encoder.network for encoder in encoders if isinstance(encoder, Pretrained)]
    for network in networks:
        network.double()
    with float64(), CastsAreDouble():
        yield
    for network in networks:
        network.float()


TINY = Size(32, 48, 2, 2, "AutonLab/MOMENT-1-tiny", "main", "a size that is not published")


def tiny_moment(**options) -> Moment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", TINY)
        return Moment(**{"size": "tiny", "weights": "random", "device": "cpu", **options})


TINY_T5 = chronos.Size(32, 64, 2, 2)


def tiny_chronos(**options) -> Chronos:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(chronos.SIZES, "toy", TINY_T5)
        patch.setitem(chronos.PUBLISHED, "toy", ("a size that is not published", "main"))
        return Chronos(**{"size": "toy", "weights": "random", "device": "cpu", **options})


def tiny_bolt(**options) -> ChronosBolt:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(chronos.SIZES, "toy", TINY_T5)
        patch.setitem(chronos_bolt.PUBLISHED, "toy", ("a size that is not published", "main"))
        return ChronosBolt(**{"size": "toy", "weights": "random", "device": "cpu", **options})


def tiny_chronos_2(**options) -> Chronos2:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chronos_2, "SIZE", TINY_T5)
        return Chronos2(**{"weights": "random", "device": "cpu", **options})
