"""A model of a person's own, by the path of its class: a network (model=mine), or an estimator (model=sklearn).

The class is imported where it lies, in the working folder or in an installed package, and made for the samples at hand.
"""

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.models.braindecode import OwnHead, channels_of_mne
from eegfm.models.classical import probabilities_of, refuse_one_class, refuse_tokens

# what a constructor is given, by the names of its arguments
GIVEN: dict[tuple[str, ...], Callable[[SampleSpec], Any]] = {
    ("n_channels", "n_chans", "in_chans", "num_channels", "num_electrodes"): lambda spec: spec.n_channels,
    ("n_classes", "n_outputs", "num_classes"): lambda spec: max(1, len(spec.classes)),
    ("n_times", "n_samples", "num_samples"): lambda spec: spec.shape[1],
    ("sfreq", "sampling_rate", "fs"): lambda spec: float(spec.sfreq),
    ("ch_names", "channel_names"): lambda spec: list(spec.montage.names),
    ("positions", "coords"): lambda spec: torch.tensor(spec.montage.coords, dtype=torch.float32),
    ("chs_info",): lambda spec: channels_of_mne(spec),
    ("spec",): lambda spec: spec,
}
NAMES = {name: value for names, value in GIVEN.items() for name in names}
OF_CLASSES = ("n_classes", "n_outputs", "num_classes")
PLACES = ("coords", "positions")


class Mine(nn.Module):
    """A person's network as a backbone: it takes [batch, channel, time] in microvolts and gives logits or features.

    `path` is its class, or a function that makes it. The constructor is given what the samples are by the names that it
    has for it (`GIVEN`), and `args`, which come first. A `forward` with an argument `coords` or `positions` is also
    given the places [channel, 3] in metres.

    One value per class (or one for two classes) are logits: its last layer is then taken off, where the network without
    it and the layer are exactly the network, and is its `published_head`. Else logits are its embedding. Anything else
    is features, flattened, for a linear layer.

    `code` is for the config alone: the sum of the file of the class, by which a run of edited code is another run.

    Raises EegfmError if the class cannot be imported or made, or gives something else.
    """

    def __init__(
        self, spec: SampleSpec, *, path: str, args: Mapping[str, Any] | None = None, code: str | None = None
    ) -> None:
        super().__init__()
        refuse_tokens(spec, path)
        self.path, self.n_logits, self.classes = path, max(1, spec.n_logits), max(1, len(spec.classes))
        found = imported(path)
        # on the CPU even where only shapes are wanted (the meta device): a forward pass finds the last layer
        with torch.device("cpu"):
            network = made(found, path, spec, args or {})
            if not isinstance(network, nn.Module):
                typed = f" Type model=sklearn model.path={path}" if hasattr(network, "fit") else ""
                raise EegfmError(
                    f"{path} makes a {type(network).__name__}, and a torch.nn.Module is wanted.{typed}"
                )
            self.network = network
            takes = inspect.signature(network.forward).parameters
            self.places = next((name for name in PLACES if name in takes), None)
            self.settings = {"ch_names": list(spec.montage.names)} if "ch_names" in takes else {}
            told = set(OF_CLASSES) & set(inspect.signature(found).parameters)
            head = self._take_off(spec, told=bool(told))
        self.network.train()
        self._own_head = (
            None if head is None else head.train(),
        )  # a tuple hides it: it is no part of the backbone

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """The input of the last layer, or what the network gives; flattened."""
        return self._output(x, coords).flatten(1)

    def published_head(self, n_logits: int) -> nn.Module:
        """The network's own last layer, on an embedding; of a network that gives features a linear layer."""
        head = self._own_head[0]
        if n_logits != self.n_logits:
            raise EegfmError(f"{self.path} was made for {self.n_logits} logits, and {n_logits} are wanted.")
        return nn.Linear(self.width, n_logits) if head is None else copy.deepcopy(head)

    def from_published(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """The network's own state dict as one of ours, and the names of the tensors left out: the last layer's."""
        known = self.network.state_dict()
        left_out = [
            key for key in state if self.last and key.startswith(f"{self.last}.") and key not in known
        ]
        return {f"network.{key}": value for key, value in state.items() if key not in left_out}, left_out

    def _output(self, x: Tensor, coords: Tensor) -> Tensor:
        places = {} if self.places is None else {self.places: coords}
        return self.network(x, **places, **self.settings)

    def _take_off(self, spec: SampleSpec, *, told: bool) -> "nn.Module | None":
        """Set the width, and take the last layer off as a head; None of a network that gives features."""
        network = self.network.eval()  # keeps running statistics unchanged
        x = 20 * torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
        coords = torch.tensor(spec.montage.coords, dtype=torch.float32)
        calls: list[tuple[str, Any, Any]] = []

        def noted(name: str) -> Callable[..., None]:
            return lambda layer, given, out: calls.append((name, given, out))

        handles = [
            layer.register_forward_hook(noted(name)) for name, layer in network.named_modules() if name
        ]
        try:
            with torch.no_grad():
                out = self._output(x, coords)
        except EegfmError:
            raise
        except Exception as error:  # anybody's code
            raise EegfmError(
                f"{self.path} fails on windows of {spec.n_channels} channels and {spec.shape[1]} samples, "
                f"[batch, channel, time]: {type(error).__name__}: {error}"
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(out, Tensor) or out.ndim < 1 or len(out) != len(x) or not out.is_floating_point():
            said = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise EegfmError(
                f"{self.path} gives {said} for {len(x)} windows. A tensor is wanted, one row a window: logits "
                "[batch, class] or features [batch, ...]."
            )
        self.last, self.width = "", out[0].numel()
        if not spec.classes or self.width not in (self.n_logits, self.classes):
            if told and spec.classes:
                raise EegfmError(
                    f"{self.path} was told that there are {self.classes} classes, and gives {self.width} numbers for a "
                    "window. One for each class is wanted, or a constructor without that argument, for features."
                )
            return None
        n_values = self.width
        for name in _candidates(network, calls, out):
            (given,) = [given for called, given, _ in calls if called == name]
            layer = network.get_submodule(name)
            network.set_submodule(name, nn.Identity())
            head = OwnHead(layer, given[0].shape[1:], n_values)
            with torch.no_grad():
                vectors = self._output(x, coords).flatten(1)
                if vectors.shape[1] == head.width and torch.equal(head(vectors), out.flatten(1)):
                    self.last, self.width = name, head.width
                    return self._of_logits(head)
            network.set_submodule(name, layer)
        return self._of_logits(OwnHead(nn.Identity(), torch.Size((n_values,)), n_values))

    def _of_logits(self, head: OwnHead) -> nn.Module:
        return nn.Sequential(head, _Difference()) if (head.n_logits, self.n_logits) == (2, 1) else head


class _Difference(nn.Module):
    """Two logits as one: its sigmoid is their softmax."""

    def forward(self, logits: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 1"]:
        return logits[:, 1:] - logits[:, :1]


def _candidates(network: nn.Module, calls: list[tuple[str, Any, Any]], out: Tensor) -> list[str]:
    """The layers with parameters that were run once and gave `out`, the smallest first."""
    names = [name for name, _, _ in calls]
    found = [
        (sum(p.numel() for p in network.get_submodule(name).parameters()), -name.count("."), name)
        for name, given, of_layer in calls
        if names.count(name) == 1 and len(given) == 1 and isinstance(given[0], Tensor) and given[0].ndim > 1
        and isinstance(of_layer, Tensor) and of_layer.numel() == out.numel()
        and torch.equal(of_layer.reshape(out.shape), out)
    ]  # fmt: skip
    return [name for size, _, name in sorted(found) if size]


class Estimator:
    """A person's scikit-learn estimator or pipeline, by path; fitted in one go on [window, channel, time] in µV.

    `path` is its class, a function that makes it, or the estimator itself, which is cloned. Validation windows are not
    shown to it. Its probabilities are those of `predict_proba`, or else the softmax of `decision_function`: their order
    is right, but they are no frequencies.
    """

    found = ("estimator",)

    def __init__(
        self, spec: SampleSpec, *, path: str, args: Mapping[str, Any] | None = None, code: str | None = None
    ) -> None:
        refuse_tokens(spec, path)
        self.spec, self.path = spec, path
        given = imported(path)
        is_one = hasattr(given, "fit") and not isinstance(given, type)
        if is_one and args:
            raise EegfmError(f"{path} is an estimator already. Set its arguments there, or name its class.")
        self.unfitted: Any = given if is_one else made(given, path, spec, args or {})
        if isinstance(self.unfitted, nn.Module):
            raise EegfmError(f"{path} makes a network of torch. Type model=mine model.path={path}")
        if not hasattr(self.unfitted, "fit") or not (
            hasattr(self.unfitted, "predict_proba") or hasattr(self.unfitted, "decision_function")
        ):
            raise EegfmError(
                f"{path} makes a {type(self.unfitted).__name__} without fit, or without predict_proba and "
                "decision_function. A scikit-learn classifier is wanted, or a pipeline that ends in one."
            )
        self.estimator: Any = None

    def fit(
        self,
        x: Float[np.ndarray, "window channel time"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "held_out channel time"],
        label_val: Int[np.ndarray, " held_out"],
    ) -> None:
        """Fit a clone on the training pair. Raises EegfmError for what the estimator says of it."""
        from sklearn.base import clone

        refuse_one_class(label)
        try:
            fresh: Any = clone(self.unfitted)
            self.estimator = fresh.fit(x, label)
        except Exception as error:  # anybody's code
            flat = (
                " A first step has to make a table of them: mne.decoding.Vectorizer(), or features."
                if "dim" in str(error)
                else ""
            )
            raise EegfmError(
                f"{self.path} cannot be fitted to windows [window, channel, time] of shape {x.shape}: "
                f"{type(error).__name__}: {error}{flat}"
            ) from error

    def probabilities(
        self, x: Float[np.ndarray, "window channel time"]
    ) -> Float[np.ndarray, "window class"]:
        """One column per class, in the order of the spec's classes."""
        assert self.estimator is not None, "fit comes first"
        return probabilities_of(self.estimator, x, len(self.spec.classes))

    @property
    def n_parameters(self) -> int:
        """Numbers in the arrays that the fit has set on the steps."""
        steps = getattr(self.estimator, "named_steps", {"": self.estimator}).values()
        arrays = [value for step in steps for name, value in vars(step).items() if name.endswith("_")]
        return sum(one.size for one in arrays if isinstance(one, np.ndarray) and one.dtype.kind == "f")

    def pipeline(self) -> Any:
        """The fitted estimator itself."""
        return self.estimator


def made(found: Any, path: str, spec: SampleSpec, args: Mapping[str, Any]) -> Any:
    """What the class or function of a path makes of `args`, and of what it asks for by the names of `GIVEN`."""
    if not callable(found):
        raise EegfmError(f"model.path={path} is a {type(found).__name__}. The path of a class is wanted.")
    takes = inspect.signature(found).parameters
    given = {name: NAMES[name](spec) for name in takes if name in NAMES and name not in args}
    try:
        return found(**given, **args)
    except EegfmError:
        raise
    except Exception as error:  # anybody's code
        lacking = [
            name
            for name, one in takes.items()
            if one.default is one.empty
            and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            and name not in {**given, **args}
        ]
        typed = " " + " ".join(f"model.args.{name}=..." for name in lacking) if lacking else ""
        remedy = f"Type{typed}, or use one of these names: {', '.join(NAMES)}." if lacking else (
            "Its arguments are set by model.args.<name>=<value>."
        )  # fmt: skip
        raise EegfmError(
            f"{path}({', '.join(f'{name}=...' for name in (*given, *args))}) fails: {type(error).__name__}: {error}. "
            f"{remedy}"
        ) from error


def imported(path: str) -> Any:
    """What a dotted path names; modules in the working folder are found as well."""
    module, _, name = path.rpartition(".")
    here = os.getcwd()
    if not {"", here} & {*sys.path}:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise EegfmError(
            f"model.path={path} cannot be imported ({type(error).__name__}: {error}). The path of a class is wanted, "
            f"in a module in {here} or in an installed package: mymodule.Net"
        ) from error
    return found
