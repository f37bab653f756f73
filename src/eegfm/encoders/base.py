"""What every encoder is fed: single seconds at 200 Hz, as in STAMP (Shook et al. 2025, arXiv:2511.10848)."""

from jaxtyping import Float
from torch import Tensor

from eegfm.contracts import EegfmError

SFREQ = 200.0
SECOND = 200  # samples


def as_seconds(series: Float[Tensor, "series time"], *, encoder: str) -> Float[Tensor, "series 200"]:
    """The series in float32, or a refusal if they are not seconds of 200 samples.

    Without it another length would be read on a wrong frequency axis, or cut off, without a word.

    Raises:
        EegfmError: the series are not 200 samples long.
    """
    if series.ndim != 2 or series.shape[1] != SECOND:
        raise EegfmError(
            f"encoder={encoder} reads series of one second at {SFREQ:g} Hz, [n, {SECOND}]; "
            f"these are {list(series.shape)}. Resample to {SFREQ:g} Hz, then series.reshape(-1, {SECOND})."
        )
    return series.float()
