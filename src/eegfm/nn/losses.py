"""Losses of a reconstruction: terms in time and in frequency, and their weighted sum.

The terms in time are L1 and MSE. In frequency, the `spectral` term of EEGM2 and SAMBA
(github.com/Jiazhen-Hong/EEGM2, utility/loss.py, read and not copied) is the mean squared difference of
unnormalised spectra. By Parseval it is T times the MSE, T being the number of samples: it holds no spectral
information, and its weight against L1 grows with the window. `spectral_ortho` is the same without the
factor. `stft` is our own repair: it compares the magnitudes of spectra and not their phases, on a
logarithmic scale, so that weak fast rhythms count as much as strong slow ones.

All take a prediction and the truth, [batch, channel, time] in one unit; with `hidden` they use hidden
samples alone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError

STFT_SIZES = (
    32,
    128,
    512,
)  # samples: 0.16, 0.64, 2.6 s at 200 Hz; sizes longer than the window are left out
FLOOR = 1e-3  # part of a row's mean power, 30 dB below it; the logarithm of weaker power is noise
TINY = 1e-20  # keeps the logarithm of a silent row finite

Hidden = Bool[Tensor, "batch channel time"] | None


def l1(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Hidden = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference."""
    return _mean((pred - true).abs(), hidden)


def mse(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Hidden = None,
) -> Float[Tensor, ""]:
    """Mean squared difference."""
    return _mean((pred - true).square(), hidden)


def spectral(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Hidden = None,
    *,
    norm: Literal["backward", "ortho"] = "backward",
) -> Float[Tensor, ""]:
    """Mean squared modulus of the difference of the spectra (EEGM2 eq. 1 as its code has it).

    With norm="backward" (published) it is T times the MSE, by Parseval, up to the weight of the two
    unpaired frequencies (zero and the highest); with "ortho" it is the MSE itself. With `hidden`, visible
    samples count as exact, in the mean over all frequencies: the term is then that of the whole window
    times the hidden part.
    """
    difference = _difference(pred, true, hidden)
    return torch.view_as_real(torch.fft.rfft(difference, norm=norm)).square().sum(-1).mean()


def spectral_ortho(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Hidden = None,
) -> Float[Tensor, ""]:
    """`spectral` of orthonormal spectra: comparable over window lengths."""
    return spectral(pred, true, hidden, norm="ortho")


def stft(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Hidden = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference of log magnitudes of short-time spectra, averaged over several window lengths.

    Hann windows of `STFT_SIZES` samples overlap by half. Powers are kept above `FLOOR` times the mean power
    of the true row at that resolution, so that the term has no unit and silence no weight. Phase does not
    count: L1 or MSE must be added for it. With `hidden`, visible samples are taken from the truth.

    Raises:
        EegfmError: windows shorter than the smallest size.
    """
    sizes = [size for size in STFT_SIZES if size <= pred.shape[-1]]
    if not sizes:
        raise EegfmError(
            f"The stft term needs windows of {STFT_SIZES[0]} samples at least; these have {pred.shape[-1]}. "
            "Leave it out: task.loss.stft=0"
        )
    if hidden is not None:
        pred = torch.where(hidden, pred, true)
    found = []
    for size in sizes:
        with torch.no_grad():
            of_true = _power(true, size)
        of_pred = _power(pred, size)
        floor = FLOOR * of_true.mean((-2, -1), keepdim=True) + TINY
        # the half turns powers into magnitudes
        found.append(0.5 * ((of_pred + floor).log() - (of_true + floor).log()).abs().mean())
    return torch.stack(found).mean()


Term = Callable[[Tensor, Tensor, Tensor | None], Tensor]
POINTWISE: dict[str, Callable[[Tensor], Tensor]] = {"l1": torch.abs, "mse": torch.square}
TERMS: dict[str, Term] = {
    "l1": l1,
    "mse": mse,
    "spectral": spectral,
    "spectral_ortho": spectral_ortho,
    "stft": stft,
}


@torch.no_grad()
def apart(
    pred: Float[Tensor, "batch channel time"],
    true: Float[Tensor, "batch channel time"],
    hidden: Bool[Tensor, "batch channel time"],
    names: Iterable[str],
) -> dict[str, Float[Tensor, ""]]:
    """The named terms that average over samples, for hidden and visible ones: "l1_hidden", "l1_visible".

    They are for display, not for training. Other terms use whole stretches and cannot be divided. A mean
    over no samples is 0.
    """
    found: dict[str, Tensor] = {}
    difference, n_hidden = pred - true, hidden.sum()
    for name in [name for name in names if name in POINTWISE]:
        values = POINTWISE[name](difference)
        of_hidden = (values * hidden).sum()
        found[f"{name}_hidden"] = of_hidden / n_hidden.clamp(min=1)
        # by subtraction: a second product would cost as much as all the rest
        of_visible = (values.sum() - of_hidden).clamp(min=0)
        found[f"{name}_visible"] = of_visible / (hidden.numel() - n_hidden).clamp(min=1)
    return found


class WeightedSum(nn.Module):
    """Terms of `TERMS` by name, each with its weight; a weight of 0 leaves a term out.

    Raises:
        EegfmError: an unknown name, a negative weight, or nothing to sum.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(TERMS))
        if unknown or not any(weights.values()) or min(weights.values()) < 0:
            raise EegfmError(
                f"task.loss={dict(weights)}: wanted a weight for at least one of {', '.join(TERMS)}, none below 0"
                + (f"; there is no {', '.join(unknown)}." if unknown else ".")
            )
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}

    def forward(
        self,
        pred: Float[Tensor, "batch channel time"],
        true: Float[Tensor, "batch channel time"],
        hidden: Hidden = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The weighted sum, and every term by its name, without its weight."""
        terms = {name: TERMS[name](pred, true, hidden) for name in self.weights}
        total = torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum()
        return total, terms


def _mean(values: Tensor, hidden: Tensor | None) -> Tensor:
    if hidden is None:
        return values.mean()
    # not values[hidden]: an index of unknown length would make a GPU wait
    return (values * hidden).sum() / hidden.sum()


def _difference(pred: Tensor, true: Tensor, hidden: Tensor | None) -> Tensor:
    difference = pred - true if hidden is None else (pred - true) * hidden
    return difference.float() if difference.dtype in (torch.float16, torch.bfloat16) else difference


def _power(x: Tensor, size: int) -> Tensor:
    """Squared modulus of the short-time spectrum, [batch, channel, frequency, frame]."""
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    found = torch.stft(
        x.flatten(0, 1), size, hop_length=size // 2, window=window, center=True, return_complex=True
    )
    return torch.view_as_real(found).square().sum(-1).unflatten(0, x.shape[:2])
