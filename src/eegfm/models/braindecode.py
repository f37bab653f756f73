"""Any classifier of braindecode as a backbone: EEGNet, EEGConformer, Labram, BIOT, EEGPT, ... (braindecode.org, BSD-3).

Nothing of theirs is rewritten: braindecode builds the model for these samples, we take off its last layer
(`final_layer`), and that layer's input is the embedding. `published_head` returns the layer, so that the
two together are the published model; task.hidden=[] puts a linear layer in its place.

Weights come from its hub (https://huggingface.co/braindecode), downloaded by hand:
weights=<folder>/model.safetensors, with the settings of their config.json as model.options. All but the
last layer's weights are loaded, strictly.
"""

import copy
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.options import check_option

INSTALL = "In a checkout: make setup-braindecode. Elsewhere: pip install 'braindecode>=1.8'"
LAST = "final_layer"


class Braindecode(nn.Module):
    """Embed raw windows with braindecode's model `name`; `options` are its own arguments.

    The model is given the channels, their names and places, the numbers of samples and logits, and the
    rate. A model without a single last layer (ATCNet) has its logits as embedding. REVE and STEEGFormer
    download a list of channels when they are first made.

    Raises EegfmError if braindecode is not installed, has no such model, cannot make it for these samples,
    or if the model does not return one value per class.
    """

    package = "braindecode"

    def __init__(self, spec: SampleSpec, *, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if len(spec.shape) != 2:
            raise EegfmError(
                f"The models of braindecode read raw windows (channel, time), and these samples have shape "
                f"{tuple(spec.shape)}. Type encoder=raw."
            )
        known = _models()
        check_option("model.name", name, sorted(known))
        self.name, self.shape = name, spec.shape
        self.n_logits = max(1, spec.n_logits)  # 1 for data without labels, which no task classifies
        # on the CPU even where only shapes are wanted (the meta device): a forward pass finds the last layer
        with torch.device("cpu"):
            try:
                self.network = known[name](
                    n_chans=spec.n_channels,
                    n_times=spec.shape[1],
                    sfreq=spec.sfreq,
                    n_outputs=self.n_logits,
                    chs_info=channels_of_mne(spec),
                    **dict(options or {}),
                )
                # Labram looks up the channels in every pass
                named = "ch_names" in inspect.signature(self.network.forward).parameters
                self.settings = {"ch_names": list(spec.montage.names)} if named else {}
                head = self._take_off(spec)
            except (ValueError, TypeError, RuntimeError, AssertionError, ImportError) as error:
                if isinstance(error, EegfmError):
                    raise
                raise EegfmError(
                    f"braindecode cannot make its {name} for {spec.n_channels} channels and {spec.shape[1]} samples at "
                    f"{spec.sfreq:g} Hz: {error}\nIts arguments are model.options={{<argument>: <value>}}"
                ) from error
        self.network.train()  # the mode of any new module; Lightning keeps the modes that it finds
        self._own_head = (head.train(),)  # a tuple hides it from torch: it is no part of the backbone
        self.width = head.width

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """The input of the model's last layer, flattened. `coords` are unused: the model has those of the spec."""
        return self._vectors(x)

    def published_head(self, n_logits: int) -> nn.Module:
        """The model's own last layer, which takes an embedding."""
        if n_logits != self.n_logits:
            raise EegfmError(f"{self.name} was made for {self.n_logits} logits, and {n_logits} are wanted.")
        return copy.deepcopy(self._own_head[0])

    def adapted_layers(self) -> list[str]:
        """The innermost layers that a window passes: of some, a model uses the weights alone (Labram's queries)."""
        found: list[str] = []
        modes = [(module, module.training) for module in self.modules()]
        handles = [
            layer.register_forward_hook(lambda layer, given, out, name=name: found.append(name))
            for name, layer in self.named_modules()
            if not any(layer.children())
        ]
        self.eval()  # keeps running statistics unchanged
        try:
            with torch.no_grad():
                self._vectors(next(self.parameters()).new_zeros(2, *self.shape))
        finally:
            for handle in handles:
                handle.remove()
            for module, mode in modes:
                module.training = mode
        return found

    def from_published(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """A state dict of braindecode's as one of ours, and the names of the tensors left out: the last layer's."""
        renamed = getattr(self.network, "mapping", None) or {}  # names in older files
        theirs = {renamed.get(key, key): value for key, value in state.items()}
        left_out = [key for key in theirs if key.startswith(f"{LAST}.")]
        return {f"network.{key}": theirs[key] for key in theirs if key not in left_out}, left_out

    def _vectors(self, x: Tensor) -> Tensor:
        return self.network(x, **self.settings).flatten(1)

    def _take_off(self, spec: SampleSpec) -> "OwnHead":
        """Take the last layer off the network as a head; none if the two together would not give the same logits."""
        network = self.network.eval()  # keeps running statistics unchanged
        x = torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
        calls: list[tuple[Any, Any]] = []
        last = getattr(network, LAST, None)
        with torch.no_grad():
            if isinstance(last, nn.Module):
                handle = last.register_forward_hook(lambda layer, given, out: calls.append((given, out)))
                logits = network(x, **self.settings)
                handle.remove()
            else:
                logits = network(x, **self.settings)
            if not isinstance(logits, Tensor) or logits.numel() != len(x) * self.n_logits:
                found = tuple(logits.shape[1:]) if isinstance(logits, Tensor) else type(logits).__name__
                raise EegfmError(
                    f"braindecode's {self.name} gives {found} for a window, and {self.n_logits} logits are wanted: it "
                    "is no classifier of windows. Choose another model.name."
                )
            if isinstance(last, nn.Module) and len(calls) == 1 and len(calls[0][0]) == 1:
                shape = calls[0][0][0].shape[1:]
                network.add_module(LAST, nn.Identity())
                head = OwnHead(last, shape, self.n_logits)
                vectors = self._vectors(x)
                if vectors.shape[1] == head.width and torch.equal(
                    head(vectors), logits.reshape(len(x), self.n_logits)
                ):
                    return head
                network.add_module(LAST, last)
        return OwnHead(nn.Identity(), torch.Size((self.n_logits,)), self.n_logits)


class OwnHead(nn.Module):
    """A last layer that takes its input as a single vector."""

    def __init__(self, layer: nn.Module, shape: torch.Size, n_logits: int) -> None:
        super().__init__()
        self.layer, self.shape, self.n_logits = layer, shape, n_logits
        self.width = shape.numel()

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Float[Tensor, "batch logit"]:
        # -1 and not len(vectors): torch.export would take the length of its example for that of every batch
        return self.layer(vectors.unflatten(1, self.shape)).reshape(-1, self.n_logits)


def channels_of_mne(spec: SampleSpec) -> list[dict[str, Any]]:
    """The channels as in MNE's `info["chs"]`, with the numbers of its constants: EEG, volts, head frame."""
    return [
        {
            **{"ch_name": name, "kind": 2, "coil_type": 1, "unit": 107, "unit_mul": 0, "coord_frame": 4},
            **{"cal": 1.0, "range": 1.0, "scanno": i + 1, "logno": i + 1},
            "loc": np.concatenate([place, np.zeros(9)]),
        }
        for i, (name, place) in enumerate(zip(spec.montage.names, spec.montage.coords, strict=True))
    ]


def _models() -> dict[str, Any]:
    """braindecode's models by name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # braindecode's own warning about names in MNE
            import braindecode.models  # pyright: ignore[reportMissingImports] # noqa: F401
            from braindecode.models.util import (  # pyright: ignore[reportMissingImports]
                interpolated_models_dict,
                models_dict,
            )
    except (ImportError, OSError) as error:
        # an OSError means that torchaudio is built for CUDA and the installed torch is not
        raise EegfmError(f"model=braindecode needs braindecode ({error}). {INSTALL}") from error
    return {**models_dict, **interpolated_models_dict}
