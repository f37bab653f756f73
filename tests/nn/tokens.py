"""What the tests of the token models share: a spec without data, seeds that stay local, values that no type fits."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from eegfm.contracts import Montage, SampleSpec


def token_spec(n_channels: int, n_times: int, embedding: int, n_classes: int = 2) -> SampleSpec:
    """Samples behind a frozen encoder, on electrodes whose places do not matter."""
    montage = Montage(tuple(f"E{i}" for i in range(n_channels)), np.zeros((n_channels, 3)))
    return SampleSpec(
        montage, (n_channels, n_times, embedding), 200.0, tuple(f"class {i}" for i in range(n_classes))
    )


def randn(*shape: int, seed: int = 0, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialisation draws from torch's global generator; this seeds it and puts it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def float64() -> Iterator[None]:
    """Build and compute in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class CastsAreDouble(TorchFunctionMode):
    """Around code of others that casts to float32 on its way: the casts give float64, and nothing is rounded."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        func = torch.Tensor.double if func is torch.Tensor.float else func
        args = [torch.float64 if arg is torch.float32 else arg for arg in args]
        kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()}
        return func(*args, **kwargs)


@contextmanager
def as_a_person() -> Iterator[None]:
    """Call without the test suite's type checks: what a config can hold, so that our own sentence answers it."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def randomise(module: torch.nn.Module, seed: int = 0, scale: float = 0.5) -> torch.nn.Module:
    """Draw every parameter from a normal, so that nothing hides behind an initial 0, 1 or 1e-6."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(
                scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            )
    return module
