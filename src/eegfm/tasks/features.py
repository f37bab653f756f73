"""Features of windows from a backbone that is trained no further: its embedding, or what a layer does over time.

The statistics are those of EEGM2 and SAMBA (utility/, read and not copied): nine per channel of the layer,
always over time. The references take them over the last axis, which in their Mamba layers is not time; we
ask the backbone which axis is time (`ShowsLayers`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EEGBatch, EegfmError, Embeds, ShowsLayers
from eegfm.nn.covariance import log_covariance
from eegfm.nn.options import check_option
from eegfm.nn.scaling import Scale, size_of, unit_of

Pooling = Literal["statistics", "logcov"]
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


class Looks:
    """Layers of a backbone, by module path: `of(x, coords)` gives their outputs over time.

    The forward pass stops once all are reached: later layers cost nothing.

    Raises:
        EegfmError: there is no such layer, or the backbone does not say which of its axes is time.
    """

    def __init__(self, backbone: nn.Module, layers: Sequence[str], *, said: str) -> None:
        known = dict(backbone.time_axis) if isinstance(backbone, ShowsLayers) else {}
        for layer in layers:
            if layer in known:
                continue
            choice = (
                f"It shows {', '.join(known)}"
                if known
                else "It shows none: take its embedding, task.layer=null"
            )
            raise EegfmError(f"{said}={layer}: {type(backbone).__name__} shows no such layer. {choice}.")
        self.modules = {layer: (backbone.get_submodule(layer), known[layer]) for layer in layers}
        self.said = said
        whole: Any = backbone
        # a backbone that does not reconstruct windows has no forward pass of its own
        self.run = whole.embed if type(backbone).forward is nn.Module.forward else whole

    def of(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"]
    ) -> dict[str, Float[Tensor, "batch feature time"]]:
        """The outputs of the layers, by path; `x` is in the backbone's unit."""
        found: dict[str, Any] = {}

        def keep(layer: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                found[layer] = output
                if len(found) == len(self.modules):
                    raise _ReachedError

            return hook

        handles = [module.register_forward_hook(keep(layer)) for layer, (module, _) in self.modules.items()]
        try:
            self.run(x, coords)
        except _ReachedError:
            pass
        else:
            left = next(layer for layer in self.modules if layer not in found)
            raise EegfmError(f"{self.said}={left}: a forward pass does not come through this layer.")
        finally:
            for handle in handles:
                handle.remove()
        for layer, output in found.items():
            if not isinstance(output, Tensor) or output.ndim != 3:
                raise EegfmError(
                    f"{self.said}={layer} gives no tensor of three axes (batch, channel and time in some order). "
                    "Choose another layer."
                )
        return {layer: output.movedim(self.modules[layer][1], 2) for layer, output in found.items()}


class Features:
    """Windows in microvolts -> features: `pooling` of a layer, or the embedding where `layer` is None.

    `layer` is a module path. `pooling` is "statistics" (`time_statistics`, the published one) or "logcov"
    (`eegfm.nn.covariance.log_covariance`); an embedding has its own (model.pooling). `scale` divides the input (see
    `eegfm.nn.scaling.size_of`).

    Raises:
        EegfmError: there is no such layer, or the backbone does not say which of its axes is time.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        layer: str | None,
        pooling: Pooling = "statistics",
        scale: Scale = None,
    ) -> None:
        check_option("task.pooling", pooling, get_args(Pooling))
        self.backbone, self.layer = backbone, layer
        self.pooling: Pooling = pooling
        self.scale: Scale = scale
        self.looks = None if layer is None else Looks(backbone, [layer], said="task.layer")
        self.pool = log_covariance if pooling == "logcov" else time_statistics
        if layer is not None:
            return
        if not isinstance(backbone, Embeds):
            raise EegfmError(f"{type(backbone).__name__} has no embedding. Name a layer: task.layer=...")
        if pooling != "statistics":
            raise EegfmError(
                f"task.pooling={pooling} is of a layer, and an embedding is pooled already. Name a layer "
                f"(task.layer=...), or type model.pooling={pooling} where the model has it."
            )
        self.embed = backbone.embed

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch feature"]:
        """Features, float32. The backbone runs in eval mode and returns to the mode that it was in."""
        modes = [(module, module.training) for module in self.backbone.modules()]
        self.backbone.eval()
        try:
            scaled = x / size_of(x, unit_of(self.scale, self.backbone))
            if self.layer is None or self.looks is None:
                return self.embed(scaled, coords).float()
            return self.pool(self.looks.of(scaled, coords)[self.layer]).float()
        finally:
            for module, mode in modes:
                module.training = mode

    def of(self, batch: EEGBatch, device: torch.device) -> Float[Tensor, "batch feature"]:
        """Features of a batch, computed on a device and brought back to the CPU."""
        return self(batch.x.to(device), batch.coords.to(device)).cpu()


class _ReachedError(Exception):
    """Raised when the last of the layers is reached."""
