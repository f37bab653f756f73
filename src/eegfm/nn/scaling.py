"""Scale microvolts to the numbers that a model sees, by a constant or by each channel's own size."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from eegfm.contracts import EegfmError

# microvolts per unit; or "quantile", see `size_of`; or None
Scale = float | Literal["quantile"] | None
QUANTILE, EPSILON = 0.95, 1e-8  # as in EEGM2's and SAMBA's loader of TUAB


def size_of(
    x: Float[Tensor, "batch channel *time"], scale: Scale
) -> Float[Tensor, "#batch #channel *#time"]:
    """The divisor of windows in microvolts, in a shape that broadcasts with theirs.

    A number is that many microvolts (100: CBraMod's and STAMP's division at load), None is 1. "quantile" is
    the 0.95 quantile of |x| of every channel of every window, plus 1e-8 (EEGM2's loader): the size of a
    window is then lost, a flat channel stays zero, and a channel that is silent except for a few samples
    becomes very large.

    Raises:
        EegfmError: a number is not above 0, or x holds no windows for "quantile".
    """
    if scale == "quantile":
        if x.ndim != 3:
            raise EegfmError(
                "task.scale=quantile reads raw windows, and these are an encoder's vectors. Type encoder=raw."
            )
        n = x.shape[-1]
        # sorts and interpolates linearly, as numpy does: torch.quantile refuses more than 2^24 values
        ordered = x.abs().sort(-1).values
        low = int(QUANTILE * (n - 1))
        part = QUANTILE * (n - 1) - low
        below, above = ordered[..., low], ordered[..., min(low + 1, n - 1)]
        return (below + (above - below) * part + EPSILON)[..., None]
    if scale is not None and not scale > 0:
        raise EegfmError(f"task.scale={scale}: microvolts a unit, above 0; or quantile; or null.")
    return torch.full((1,) * x.ndim, 1.0 if scale is None else float(scale), dtype=x.dtype, device=x.device)
