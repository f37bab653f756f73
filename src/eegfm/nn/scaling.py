"""Scale microvolts to the numbers that a model sees: by a constant, by what is typical of training, by each channel."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError

# microvolts per unit; or "typical", a number of the training windows that the backbone keeps (see `give_unit`); or
# "quantile", see `size_of`; or None
Scale = float | Literal["typical", "quantile"] | None
UNIT = "unit_uv"  # a backbone's buffer
QUANTILE, EPSILON = 0.95, 1e-8  # as in EEGM2's and SAMBA's loader of TUAB


def size_of(
    x: Float[Tensor, "batch channel *time"], scale: Scale | Tensor
) -> Float[Tensor, "#batch #channel *#time"]:
    """The divisor of windows in microvolts, in a shape that broadcasts with theirs.

    A number or a tensor of one is that many microvolts (100: CBraMod's and STAMP's division at load), None is 1.
    "quantile" is the 0.95 quantile of |x| of every channel of every window, plus 1e-8 (EEGM2's loader): the size of a
    window is then lost, a flat channel stays zero, and a channel that is silent except for a few samples
    becomes very large.

    Raises:
        EegfmError: a number is not above 0, or x holds no windows for "quantile".
    """
    if isinstance(scale, Tensor):
        return scale.to(x).reshape((1,) * x.ndim)
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
    assert scale != "typical", "unit_of(scale, backbone) comes first"
    if scale is not None and not scale > 0:
        raise EegfmError(f"task.scale={scale}: microvolts a unit, above 0; or quantile; or null.")
    return torch.full((1,) * x.ndim, 1.0 if scale is None else float(scale), dtype=x.dtype, device=x.device)


def give_unit(backbone: Any, scale: Scale) -> None:
    """For scale "typical", let a backbone keep its unit among its tensors: not a number until `fit_unit` or weights."""
    if scale == "typical" and isinstance(backbone, nn.Module) and not hasattr(backbone, UNIT):
        backbone.register_buffer(UNIT, torch.tensor(torch.nan))


def unit_of(scale: Scale, backbone: Any) -> Scale | Tensor:
    """What `size_of` takes for a backbone: the unit that it keeps, or the scale itself."""
    return getattr(backbone, UNIT) if scale == "typical" else scale


def fit_unit(backbone: Any, batches: Iterable[Float[Tensor, "batch channel *time"]]) -> None:
    """Set the unit of a backbone that keeps one and has none yet, from training windows in microvolts.

    It is the median, over windows and channels, of a channel's standard deviation within a window, so that a typical
    channel has a deviation of one whatever some artefacts or flat channels have.

    Raises:
        EegfmError: the windows are an encoder's vectors, or more than half of all channels are flat.
    """
    if not hasattr(backbone, UNIT) or not torch.isnan(getattr(backbone, UNIT)):
        return
    found = []
    for x in batches:
        if x.ndim != 3:
            raise EegfmError(
                "task.scale=typical reads raw windows, and these are an encoder's vectors. Type task.scale=null."
            )
        found.append(x.float().std(-1, correction=0).flatten().cpu())
    unit = torch.cat(found).nanmedian()
    if not unit > 0:
        raise EegfmError(
            "task.scale=typical: half of all channels of the training windows are flat. Type a number of microvolts."
        )
    getattr(backbone, UNIT).fill_(float(unit))
