"""A trained model by itself: windows in microvolts in, probabilities or the windows given back out.

Everything about it is in a `config.json` of plain values and in tensors (`model.safetensors`): no run folder, no store,
no Hydra, no Lightning. What a file may name is a class of our models and encoders, nothing else, and nothing is
unpickled. `eegfm.loading` makes one from a run, `eegfm export` writes the folder.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.nn.head import class_probabilities, light_mlp, make_head
from eegfm.nn.scaling import size_of

FORMAT, SCHEMA = "eegfm model", 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, CARD, "model.pt2", "model.onnx")  # what eegfm export writes
KINDS = ("classify", "reconstruct", "forecast", "probe", "estimate")
FITTED = ("probe", "estimate")  # in one go, not by gradients
OURS = re.compile(r"eegfm\.(models|encoders)\.\w+\.[A-Z]\w*")  # what a file may have made
SERIES = 1024  # seconds that go through an encoder at once
VOLTS = 0.05  # µV: a whole batch below it is in another unit; the noise of an amplifier is above


class Portable(nn.Module):
    """What a `config.json` describes (see `eegfm.loading.config_of`), its weights as they are drawn.

    Called with windows in microvolts, [batch, channel, time], it gives class probabilities [batch, class] in the order
    of `spec.classes`, or the windows back, or, of a forecast, their end. `spec` says which channels, at which rate.
    Where only the vectors of an encoder can be taken, [batch, channel, second, width], `spec.shape` has three numbers.

    `coords` are places in metres, MNE's head frame, one a channel, for models that read them; those of `spec` where
    none are given. The module is in eval mode.

    Raises EegfmError where the config is none, or names anything but our models and encoders.
    """

    coords: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse_other(config)
        self.config = dict(config)
        self.kind: str = config["kind"]
        self.spec = spec_of(config["input"])
        self.scale = config["scale"]
        places = torch.tensor(self.spec.montage.coords, dtype=torch.float32)
        self.register_buffer("coords", places, persistent=False)
        with torch.random.fork_rng(devices=[]):  # weights are drawn where a file replaces them
            self.encoder = None if config["encoder"] is None else Tokens(made(config["encoder"]))
            seen = self.spec if self.encoder is None else self.encoder.spec(self.spec)
            model = made(config["backbone"])(seen)
            self.backbone: Any = Classical(model, config) if self.kind == "estimate" else model
            self.head = self._make_head(config["head"])
        if self.kind == "probe":
            from eegfm.tasks.features import Features

            self.features = Features(self.backbone, layer=config["layer"], scale=self.scale)
        self.eval()

    def forward(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Tensor:
        """Probabilities of the classes, or windows in microvolts.

        Raises EegfmError for what is no batch of windows, and for channels without places.
        """
        x, coords = self._given(x, coords)
        if self.kind == "classify":
            return class_probabilities(self.head(self._embedded(x, coords)))
        if self.kind in FITTED:
            features = self.features(x, coords) if self.kind == "probe" else self.backbone.features(x)
            return self.head(features).to(x.dtype)
        if self.kind == "forecast":
            return self._forecast(x, coords)
        size = size_of(x, self.scale)
        return self.backbone(x / size, coords) * size

    def logits(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch logit"]:
        """What a loss for classes takes: a logit a class, of two classes one. Raises EegfmError where there is none."""
        if self.kind != "classify":
            raise EegfmError(f"This is a model of task={self.kind}, which has no logits.")
        return self.head(self._embedded(*self._given(x, coords)))

    def embed(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """What the backbone makes of a window: one vector. Raises EegfmError where there is no backbone."""
        if not hasattr(self.backbone, "embed"):
            raise EegfmError(f"{self.config['backbone']['class']} has no vector for a window.")
        return self._embedded(*self._given(x, coords))

    def _embedded(self, x: Tensor, coords: Tensor) -> Tensor:
        return self.backbone.embed(x if self.scale is None else x / size_of(x, self.scale), coords)

    def _forecast(self, x: Tensor, coords: Tensor) -> Float[Tensor, "batch channel future"]:
        # as `eegfm.tasks.forecast.Forecast`: the future is not looked at, not even for its size
        n_times = x.shape[-1]
        past = n_times - max(1, int(self.config["ratio"] * n_times))
        if past < 1:
            raise EegfmError(f"A window of {n_times} samples has no past to go on from.")
        size = size_of(x[..., :past], self.scale)
        seen = x[..., :past] / size
        if self.head is None:
            return self.backbone(F.pad(seen, (0, n_times - past)), coords)[..., past:] * size
        return self.head(self.backbone(seen, coords), n_times - past) * size

    def _given(self, x: Tensor, coords: Tensor | None) -> tuple[Tensor, Tensor]:
        """Windows, or an encoder's vectors of them, and places, on this module's device."""
        coords = self.coords if coords is None else torch.as_tensor(coords).to(self.coords)
        if not torch.compiler.is_compiling():
            x = torch.as_tensor(x).to(self.coords)
            self._check(x, coords)
        return (x if self.encoder is None else self.encoder(x)), coords

    def _check(self, x: Tensor, coords: Tensor) -> None:
        shape = self.spec.shape
        if x.ndim != len(shape) + 1:
            what = "[batch, channel, time]" if len(shape) == 2 else "[batch, channel, second, width]"
            raise EegfmError(
                f"{what} is wanted, {say_input(self.spec)}; this has the shape {tuple(x.shape)}."
            )
        if coords.ndim != 2 or coords.shape[1] != 3 or len(coords) != x.shape[1]:
            raise EegfmError(
                f"{x.shape[1]} channels with places of {tuple(coords.shape)}: this model was trained on "
                f"{say_input(self.spec)}. For other channels, if it takes any, name their places: coords="
                "eegfm.signal.montage.montage_of([<names>]).coords"
            )
        if len(shape) == 2 and x.numel() and 0 < float(x.abs().max()) < VOLTS:
            warnings.warn(
                f"The largest value is {float(x.abs().max()):.2g}: microvolts are wanted, and this looks like volts "
                "(MNE's). Multiply by 1e6.",
                stacklevel=4,
            )

    def _make_head(self, head: Mapping[str, Any] | None) -> Any:
        if head is None:
            return None
        if self.kind == "classify":
            return make_head(self.backbone, self.spec.n_logits, **head)
        if self.kind == "forecast":
            from eegfm.tasks.forecast import Convolution, Mamba

            return (Convolution if head["name"] == "convolution" else Mamba)(self.spec.n_channels)
        return FittedHead(n_classes=len(self.spec.classes), **head)


class Tokens(nn.Module):
    """Windows in microvolts as a store of the encoder's vectors has them: every second alone, in 16 bits, frozen."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.second, self.width = round(encoder.sfreq), encoder.width
        self.vectors: Callable[[Tensor], Tensor] = getattr(encoder, "vectors", encoder.encode)
        # the object that `vectors` computes with, so that it moves and is saved with this module; spectrum has none
        self.network: nn.Module | None = getattr(encoder, "network", None)

    def spec(self, raw: SampleSpec) -> SampleSpec:
        """What a sample of raw windows becomes."""
        if raw.sfreq != self.second or raw.shape[1] % self.second:
            raise EegfmError(
                f"This encoder reads seconds at {self.second} Hz, and windows of {raw.shape[1]} samples at "
                f"{raw.sfreq:g} Hz are none."
            )
        shape = (raw.shape[0], raw.shape[1] // self.second, self.width)
        return SampleSpec(raw.montage, shape, raw.sfreq, raw.classes, raw.corpora, raw.montages)

    def forward(
        self, x: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel second width"]:
        if x.shape[-1] % self.second:
            raise EegfmError(
                f"Whole seconds of {self.second} samples are wanted; these have {x.shape[-1]} samples."
            )
        series = x.reshape(-1, self.second)
        parts = [series] if torch.compiler.is_compiling() else series.split(SERIES)
        vectors = torch.cat([self.vectors(part) for part in parts])
        return vectors.half().to(x.dtype).reshape(*x.shape[:2], -1, self.width)

    def train(self, mode: bool = True) -> "Tokens":
        return super().train(False)  # its dropout is part of what is frozen


class FittedHead(nn.Module):
    """Probabilities of all classes from features: what `eegfm.tasks.heads` and the classical models have fitted.

    `link` is how they come of the linear values: "softmax" (of one value a sigmoid), "rest" (a sigmoid a class, then
    shares); or "mlp", EEGM2 Light's network. Computed in double precision. `classes` are those that the training
    windows were of; the others have probability zero.
    """

    mean: Tensor
    std: Tensor
    place: Tensor

    def __init__(
        self, *, n_classes: int, link: str, n_features: int, n_values: int, classes: Sequence[int]
    ) -> None:
        super().__init__()
        self.link = link
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("std", torch.ones(n_features, dtype=torch.float64))
        place = F.one_hot(torch.tensor(classes), n_classes).double()
        self.register_buffer("place", place, persistent=False)
        values = light_mlp if link == "mlp" else nn.Linear
        self.values: nn.Module = values(n_features, n_values).double()

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch class"]:
        values = self.values((features.double() - self.mean) / self.std)
        if self.link == "rest" and values.shape[1] > 1:
            shares = values.sigmoid()
            return shares / shares.sum(1, keepdim=True) @ self.place
        return class_probabilities(values) @ self.place


class Classical(nn.Module):
    """The features of a model that was fitted in one go, by its own code; what that has fitted are buffers."""

    def __init__(self, model: Any, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.names = list(config["fitted"])
        for name, shape in config["fitted"].items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def features(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch feature"]:
        """Raises EegfmError where pyriemann is wanted and not installed."""
        refuse_export()
        if not hasattr(self.model, "features"):  # majority: nothing is looked at
            return x.new_zeros(len(x), 1, dtype=torch.float64)
        if self.names:
            self.model.transform = transform_of(self.model)
            for name in self.names:
                setattr(self.model.transform, name, self.get_buffer(name).numpy(force=True))
        found = self.model.features(x.detach().cpu().numpy())
        return torch.from_numpy(np.asarray(found, dtype=np.float64)).to(x.device)


def refuse_export() -> None:
    """Raise EegfmError in an export, of what computes outside of torch."""
    if torch.compiler.is_compiling():
        raise EegfmError(
            "Classical models compute with scikit-learn and pyriemann, so that there is no program of torch operators "
            "to write. model.safetensors and config.json hold all of them: eegfm.load(<folder>)"
        )


def transform_of(model: Any) -> Any:
    """What pyriemann fits for a classical model, not fitted. Raises EegfmError where it is not installed."""
    try:
        from pyriemann.spatialfilters import CSP
        from pyriemann.tangentspace import TangentSpace
    except ImportError as error:
        raise EegfmError(
            f"{type(model).__name__} needs pyriemann ({error}). Type: python -m pip install 'pyriemann>=0.8'"
        ) from error
    if hasattr(model, "filters"):
        return CSP(nfilter=int(max(model.filters)), metric="euclid", log=True)
    return TangentSpace(metric=model.metric)


# ---- what a config.json says -----------------------------------------------------------------------------------------


def refuse_other(config: Mapping[str, Any]) -> None:
    """Raise EegfmError for what is no config of ours, or of a later version."""
    if config.get("format") != FORMAT or config.get("kind") not in KINDS:
        raise EegfmError(f"This {CONFIG} is not one that eegfm export has written.")
    if config.get("schema") != SCHEMA:
        raise EegfmError(
            f"This {CONFIG} has schema {config.get('schema')}, and this version of eegfm reads {SCHEMA}. "
            "Type: pip install --upgrade eegfm"
        )


def say_input(spec: SampleSpec) -> str:
    """What a sample is, in words."""
    n, *rest = spec.shape
    names = ", ".join(spec.montage.names[:4]) + (", ..." if n > 4 else "")
    if len(rest) == 1:
        return f"{n} channels ({names}), {rest[0]} samples at {spec.sfreq:g} Hz, microvolts"
    return f"{n} channels ({names}), {rest[0]} seconds, vectors of {rest[1]} numbers of an encoder"


def spec_of(node: Mapping[str, Any]) -> SampleSpec:
    """A spec, from its JSON."""
    montages = tuple(_montage(one) for one in node["montages"])
    return SampleSpec(
        _montage(node["montage"]),
        tuple(node["shape"]),
        node["sfreq"],
        tuple(node["classes"]),
        tuple(node["corpora"]),
        montages,
    )


def spec_json(spec: SampleSpec) -> dict[str, Any]:
    """A spec in JSON's types; a place that is none is null."""
    return {
        "shape": list(spec.shape),
        "axes": ["channel", "time"] if len(spec.shape) == 2 else ["channel", "second", "width"],
        "unit": "microvolt" if len(spec.shape) == 2 else "the encoder's",
        "sfreq": float(spec.sfreq),
        "classes": list(spec.classes),
        "montage": montage_json(spec.montage),
        "corpora": list(spec.corpora),
        "montages": [montage_json(one) for one in spec.montages],
    }


def montage_json(montage: Montage) -> dict[str, Any]:
    ends = None if montage.ends is None else _plain(montage.ends)
    return {"names": list(montage.names), "coords": _plain(montage.coords), "ends": ends}


def _montage(node: Mapping[str, Any]) -> Montage:
    ends = None if node["ends"] is None else _array(node["ends"])
    return Montage(tuple(node["names"]), _array(node["coords"]), ends)


def _plain(values: np.ndarray) -> Any:
    """Nested lists with null for NaN, which JSON has not."""
    return [_plain(one) if one.ndim else (float(one) if np.isfinite(one) else None) for one in values]


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def made(node: Any) -> Any:
    """What a node of a config describes: {"class", "arguments"} an object, or with "partial" what makes it.

    Raises:
        EegfmError: another class than those of our models and encoders, an encoder that would read a file, or arguments
            that the class does not have.
    """
    if isinstance(node, list):
        return [made(one) for one in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"montage"}:
        return _montage(node["montage"])
    if set(node) == {"array"}:
        return _array(node["array"])
    if "class" not in node:
        return {key: made(value) for key, value in node.items()}
    name, found = str(node["class"]), class_of(node["class"])
    arguments = {key: made(value) for key, value in node["arguments"].items()}
    if name.startswith("eegfm.encoders.") and arguments.get("weights", "random") != "random":
        raise EegfmError(f"{CONFIG} has an encoder read {arguments['weights']}. Only {WEIGHTS} is read.")
    if node.get("partial"):
        return partial(found, **arguments)
    try:
        return found(**arguments)
    except TypeError as error:
        raise EegfmError(f"{CONFIG}: {name} cannot be made with its arguments: {error}") from None


def class_of(name: str) -> type:
    """One of our models and encoders by its path. Raises EegfmError for everything else."""
    if not OURS.fullmatch(str(name)):
        raise EegfmError(f"{CONFIG} names {name}, which is no model or encoder of eegfm. It is not made.")
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError):
        raise EegfmError(
            f"{CONFIG} names {name}, which this version of eegfm does not have. Type: pip install --upgrade eegfm"
        ) from None
    if not isinstance(found, type) or found.__module__ != module:  # what it imports is not its own
        raise EegfmError(f"{CONFIG} names {name}, which is no model or encoder of eegfm. It is not made.")
    return found


# ---- a folder --------------------------------------------------------------------------------------------------------


def read(folder: Path, make: Callable[[dict[str, Any]], Portable] = Portable) -> Portable:
    """The model of an exported folder, from its config.json and model.safetensors alone.

    Raises:
        EegfmError: one of them is missing, damaged, not ours, or they do not go together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise EegfmError(f"{folder} has no {name}: it is not a folder that eegfm export has written.")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise EegfmError(f"{folder} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise EegfmError(f"This {CONFIG} is not one that eegfm export has written.")
    try:
        model = make(config)
    except (KeyError, TypeError) as error:
        raise EegfmError(f"{folder / CONFIG} is damaged: {error!r}") from None
    return filled(model, state, str(folder / WEIGHTS))


def filled(model: Portable, state: Mapping[str, Tensor], source: str) -> Portable:
    """The model with these tensors, none left over on either side; raises EegfmError where some are."""
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        said = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise EegfmError(f"{source} does not hold the weights of this model: {said}") from None
    return model.eval()


def tag_of(folder: Path) -> str:
    """A name of these weights: what their file's SHA-256 begins with."""
    with (folder / WEIGHTS).open("rb") as file:
        return f"weights-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"


def write(model: Portable, folder: Path) -> None:
    """config.json and model.safetensors, what `read` reads."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    # copies: a file of safetensors has no tensor that is part of another
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(model.config, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    # safetensors leaves its file to its owner alone
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)
