"""Features of windows from a backbone that is trained no further: its embedding, or statistics of a layer.

The statistics are those of EEGM2 and SAMBA (utility/, read and not copied): nine per channel of the layer,
always over time. The references take them over the last axis, which in their Mamba layers is not time; we
ask the backbone which axis is time (`ShowsLayers`).
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EEGBatch, EegfmError, Embeds, ShowsLayers
from eegfm.nn.scaling import Scale, size_of, unit_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PER_CHANNEL = 4 + len(QUANTILES)


def time_statistics(h: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch feature"]:
    """Minimum, maximum, mean, standard deviation (unbiased) and the quantiles .05 .25 .5 .75 .95 of every channel.

    The order is the published one: all minima, all maxima, all means, all deviations, then the five
    quantiles channel by channel. Quantiles are interpolated linearly.

    Raises:
        EegfmError: there are fewer than two samples of time.
    """
    n = h.shape[-1]
    if n < 2:
        raise EegfmError(
            f"Statistics over time need two moments at least, and this layer gives {n}. Choose an earlier layer "
            "(task.layer), or longer windows."
        )
    h = h.float()
    # one sort serves seven of the nine; torch.quantile refuses more than 2^24 values
    ordered = h.sort(-1).values
    place = torch.tensor(QUANTILES, device=h.device, dtype=torch.float64) * (n - 1)
    low = place.long().clamp(max=n - 2)
    below, above = ordered[..., low], ordered[..., low + 1]
    quantiles = below + (above - below) * (place - low).to(h.dtype)
    moments = (ordered[..., 0], ordered[..., -1], h.mean(-1), h.std(-1))
    return torch.cat([*moments, quantiles.flatten(1)], dim=1)


class Features:
    """Windows in microvolts -> features: `time_statistics` of a layer, or the embedding where `layer` is
    None.

    `layer` is a module path. `scale` divides the input (see `eegfm.nn.scaling.size_of`). The forward pass
    stops once the layer is reached: later layers cost nothing.

    Raises:
        EegfmError: there is no such layer, or the backbone does not say which of its axes is time.
    """

    def __init__(self, backbone: nn.Module, *, layer: str | None, scale: Scale = None) -> None:
        self.backbone, self.layer = backbone, layer
        self.scale: Scale = scale
        if layer is None:
            if not isinstance(backbone, Embeds):
                raise EegfmError(
                    f"{type(backbone).__name__} has no embedding. Name a layer: task.layer=..."
                )
            self.run: Callable[[Tensor, Tensor], Tensor] = backbone.embed
            return
        known = dict(backbone.time_axis) if isinstance(backbone, ShowsLayers) else {}
        if layer not in known:
            choice = (
                f"It shows {', '.join(known)}"
                if known
                else "It shows none: take its embedding, task.layer=null"
            )
            raise EegfmError(
                f"task.layer={layer}: {type(backbone).__name__} shows no such layer. {choice}."
            )
        self.module, self.time_axis = backbone.get_submodule(layer), known[layer]
        whole: Any = backbone
        # a backbone that does not reconstruct windows has no forward pass of its own
        self.run = whole.embed if type(backbone).forward is nn.Module.forward else whole

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch feature"]:
        """Features, float32. The backbone runs in eval mode and returns to the mode that it was in."""
        modes = [(module, module.training) for module in self.backbone.modules()]
        self.backbone.eval()
        try:
            scaled = x / size_of(x, unit_of(self.scale, self.backbone))
            if self.layer is None:
                return self.run(scaled, coords).float()
            return time_statistics(self._output(scaled, coords))
        finally:
            for module, mode in modes:
                module.training = mode

    def of(self, batch: EEGBatch, device: torch.device) -> Float[Tensor, "batch feature"]:
        """Features of a batch, computed on a device and brought back to the CPU."""
        return self(batch.x.to(device), batch.coords.to(device)).cpu()

    def _output(self, x: Tensor, coords: Tensor) -> Float[Tensor, "batch channel time"]:
        def stop(module: nn.Module, inputs: Any, output: Any) -> None:
            raise _ReachedError(output)

        handle = self.module.register_forward_hook(stop)
        try:
            self.run(x, coords)
        except _ReachedError as reached:
            found = reached.output
        else:
            raise EegfmError(f"task.layer={self.layer}: a forward pass does not come through this layer.")
        finally:
            handle.remove()
        if not isinstance(found, Tensor) or found.ndim != 3:
            raise EegfmError(
                f"task.layer={self.layer} gives no tensor of three axes (batch, channel and time in some order). "
                "Choose another layer."
            )
        return found.movedim(self.time_axis, 2)


class _ReachedError(Exception):
    """Raised when the layer is reached; carries its output."""

    def __init__(self, output: Any) -> None:
        self.output = output
