"""A contrast beside a reconstruction: two halves of a window are more alike than halves of different windows.

NT-Xent as in SimCLR (Chen et al. 2020, arXiv:2002.05709), over stretches of one recording instead of two
distortions of a picture. What tells a half from the others depends on what the others are: windows of other
people are told apart by the person, windows of one person by what goes on in them. A batch that holds several
windows of several recordings has both (`data.together`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.tasks.features import Looks

HIDDEN, OUT = 128, 32  # sizes of the projector
EPSILON = 1e-5  # added to a variance under its logarithm, so that a flat stretch has a gradient


class Halves(nn.Module):
    """The loss of a batch: both halves of every window go through the backbone as windows of their own.

    The mean and the log standard deviation over time of every feature of `layers` (module paths) go through a
    projector, n-128-32 with ReLU, which is trained along and not kept in the backbone. `temperature` divides the
    cosines. `weight` is the loss's beside the reconstruction's.

    Raises:
        EegfmError: no such layer, windows too short for halves of 8 samples, or a number that is not above 0.
    """

    def __init__(
        self,
        backbone: nn.Module,
        spec: SampleSpec,
        *,
        layers: Sequence[str],
        temperature: float = 0.2,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not temperature > 0 or not weight > 0 or not layers:
            raise EegfmError(
                f"task.contrast: a layer at least, a temperature and a weight above 0 are wanted, not {list(layers)}, "
                f"{temperature} and {weight}. Without a contrast: task/contrast=null"
            )
        if spec.shape[-1] < 16:
            raise EegfmError(
                f"task.contrast halves windows, and these have {spec.shape[-1]} samples: 16 are wanted. Type "
                "task/contrast=null, or longer windows."
            )
        self.temperature, self.weight = temperature, weight
        self.looks = Looks(backbone, list(layers), said="task.contrast.layers")
        montage = next(iter(spec.montage_of.values()))
        training = backbone.training
        with torch.no_grad():
            x = torch.zeros(1, len(montage.names), spec.shape[-1] // 2)
            backbone.eval()  # no noise is drawn
            n_seen = self._seen(x, torch.tensor(montage.coords, dtype=torch.float32)).shape[1]
        backbone.train(training)
        self.projector = nn.Sequential(nn.Linear(n_seen, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUT))

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, ""]:
        """The loss of windows in the backbone's unit; of an odd number of samples the last is left out."""
        half = x.shape[-1] // 2
        both = torch.cat([x[..., :half], x[..., half : 2 * half]])
        first, second = self.projector(self._seen(both, coords)).chunk(2)
        return nt_xent(first, second, self.temperature)

    def _seen(self, x: Tensor, coords: Tensor) -> Float[Tensor, "batch statistic"]:
        found = [
            torch.cat([h.mean(-1), 0.5 * (h.var(-1, correction=0) + EPSILON).log()], dim=1)
            for h in self.looks.of(x, coords).values()
        ]
        return torch.cat(found, dim=1)


def nt_xent(
    first: Float[Tensor, "batch width"], second: Float[Tensor, "batch width"], temperature: float
) -> Float[Tensor, ""]:
    """Normalised temperature-scaled cross-entropy of 2 B views: each is to find its other half among 2 B - 1.

    Where nothing is told apart it is log(2 B - 1); of one window, which has no others, 0. In float32: a softmax of
    cosines by 0.2 needs more than half precision.
    """
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    with torch.autocast(views.device.type, enabled=False):
        alike = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    other = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(alike.masked_fill(itself, -torch.inf), other)
