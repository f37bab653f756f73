"""A trained model by itself: it takes windows in microvolts and gives probabilities or windows.

A `config.json` of plain values and a file of tensors (`model.safetensors`) hold the whole model: it needs no run
folder, no store, no Hydra and no Lightning. The config may name only classes of our models and encoders, and nothing
is unpickled. `eegfm.export.from_run` makes such a model from a run; `eegfm export` writes the folder.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.export.described import (
    CONFIG,
    ESTIMATOR,
    FILES,
    FITTED,
    WEIGHTS,
    made,
    refuse_other,
    say_input,
    spec_of,
)
from eegfm.export.fitted import Classical, FittedHead, OwnEstimator
from eegfm.nn.head import class_probabilities, make_head
from eegfm.nn.scaling import give_unit, size_of, unit_of
from eegfm.nn.size import bounded
from eegfm.support.checksums import refuse_changed
from eegfm.support.files import refuse_links, sha256_of
from eegfm.support.summed import with_sum, without_sum
from eegfm.tasks.decision import decide
from eegfm.tasks.features import Features
from eegfm.tasks.weights import read_safetensors, save_tensors

if TYPE_CHECKING:
    import mne

    from eegfm.tasks.recording import PredictedRecording

WINDOWS = 256  # that an array gives the model at once
SERIES = 1024  # seconds that an encoder takes at once
VOLTS = 0.05  # µV: a batch that stays below is in another unit, because amplifier noise is larger


class Portable(nn.Module):
    """The model that a `config.json` describes (see `eegfm.export.described`), with random weights until `filled`.

    The module takes windows in microvolts, [batch, channel, time]. It gives class probabilities [batch, class] in the
    order of `spec.classes`, the reconstructed windows, or the predicted end of the windows. `spec` says the channels
    and the rate. A model without its encoder takes the encoder's vectors, [batch, channel, second, width]; then
    `spec.shape` has three numbers.

    `coords` are the places of the channels in metres in MNE's head frame, for models that read them; the default is
    those of `spec`. The module is in eval mode.

    Raises EegfmError if the config is not ours, or names anything but our models and encoders.
    """

    coords: Tensor

    def __init__(self, config: Mapping[str, Any], *, trust: Sequence[str] = ()) -> None:
        super().__init__()
        refuse_other(config)
        self.trust = trust
        self.config = dict(config)
        self.kind: str = config["kind"]
        self.spec = spec_of(config["input"])
        self.scale = config["scale"]
        places = torch.tensor(self.spec.montage.coords, dtype=torch.float32)
        self.register_buffer("coords", places, persistent=False)
        with torch.random.fork_rng(
            devices=[]
        ):  # `filled` replaces the random weights, so drawing them must not change the global state
            self.encoder = None if config["encoder"] is None else Tokens(made(config["encoder"]))
            behind_encoder = self.spec if self.encoder is None else self.encoder.spec(self.spec)
            self.backbone: Any
            if config.get("estimator"):
                self.backbone, self.head = OwnEstimator(len(self.spec.classes)), nn.Identity()
            else:
                model = made(config["backbone"], trust)(behind_encoder)
                self.backbone = Classical(model, config) if self.kind == "estimate" else model
                give_unit(self.backbone, self.scale)
                self.head = self._make_head(config["head"])
        if self.kind == "probe":
            how = {key: config[key] for key in ("layer", "pooling") if key in config}
            self.features = Features(self.backbone, **how, scale=self.scale)
        self._estimator: Any = None
        self.eval()

    @property
    def estimator(self) -> Any:
        """The fitted pipeline of scikit-learn; None of another model, and of an exported folder of one of ours."""
        return self._estimator

    @estimator.setter
    def estimator(self, estimator: Any) -> None:
        self._estimator = estimator
        if isinstance(self.backbone, OwnEstimator):
            self.backbone.estimator = estimator

    def forward(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Tensor:
        """Probabilities of the classes, or windows in microvolts.

        Raises EegfmError if `x` is not a batch of windows, or `coords` does not have a place for every channel.
        """
        x, coords = self._inputs(x, coords)
        if self.kind == "classify":
            return class_probabilities(self.head(self._embedded(x, coords)))
        if self.kind in FITTED:
            features = self.features(x, coords) if self.kind == "probe" else self.backbone.features(x)
            return self.head(features).to(x.dtype)
        if self.kind == "forecast":
            return self._forecast(x, coords)
        size = size_of(x, unit_of(self.scale, self.backbone))
        return self.backbone(x / size, coords) * size

    def logits(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch logit"]:
        """The input of a classification loss: a logit a class, or one for two classes.

        Raises EegfmError if the model does not come from task=classify.
        """
        if self.kind != "classify":
            raise EegfmError(
                f"A model of task={self.kind} has no logits. Call the model itself for its output."
            )
        return self.head(self._embedded(*self._inputs(x, coords)))

    def embed(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """The backbone's vector for each window. Raises EegfmError if the model gives no such vector."""
        if not hasattr(self.backbone, "embed"):
            raise EegfmError(f"{self.config['backbone']['class']} gives no vector for a window.")
        return self._embedded(*self._inputs(x, coords))

    def predict_proba(self, x: np.ndarray) -> Float[np.ndarray, "window class"]:
        """The probability of each class, of windows [window, channel, time] in microvolts as an array."""
        if self.kind not in ("classify", *FITTED):
            raise EegfmError(f"A model of task={self.kind} tells no classes apart. Call the model itself.")
        parts = torch.from_numpy(np.asarray(x, dtype=np.float32)).split(WINDOWS)
        with torch.no_grad():
            return torch.cat([self(part) for part in parts]).numpy(force=True)

    def predict(
        self,
        recording: "mne.io.BaseRaw | str | Path | np.ndarray",
        *,
        hop_s: float | None = None,
        units: Mapping[str, str | float] | None = None,
    ) -> "PredictedRecording | np.ndarray":
        """Class probabilities along a recording, the table of `eegfm predict`: see `eegfm.export.recording.predict`.

        Of an array of windows [window, channel, time] in microvolts, the class of each as a number.
        """
        if isinstance(recording, np.ndarray):
            return decide(self.predict_proba(recording))
        from eegfm.export.recording import predict  # imports MNE, which takes seconds

        return predict(self, recording, hop_s=hop_s, units=units)

    def _embedded(self, x: Tensor, coords: Tensor) -> Tensor:
        scale = unit_of(self.scale, self.backbone)
        return self.backbone.embed(x if scale is None else x / size_of(x, scale), coords)

    def _forecast(self, x: Tensor, coords: Tensor) -> Float[Tensor, "batch channel future"]:
        # as in `eegfm.tasks.forecast.Forecast`: the model must not see the future, not even its amplitude
        n_times = x.shape[-1]
        past = n_times - max(1, int(self.config["ratio"] * n_times))
        if past < 1:
            raise EegfmError(
                f"A window of {n_times} samples leaves no past from which to predict. Use longer windows."
            )
        size = size_of(x[..., :past], unit_of(self.scale, self.backbone))
        given = x[..., :past] / size
        if self.head is None:
            return self.backbone(F.pad(given, (0, n_times - past)), coords)[..., past:] * size
        return self.head(self.backbone(given, coords), n_times - past) * size

    def _inputs(self, x: Tensor, coords: Tensor | None) -> tuple[Tensor, Tensor]:
        """The backbone's inputs on this module's device: windows or an encoder's vectors of them, and places."""
        coords = self.coords if coords is None else torch.as_tensor(coords).to(self.coords)
        if not torch.compiler.is_compiling():
            x = torch.as_tensor(x).to(self.coords)
            self._check(x, coords)
        return (x if self.encoder is None else self.encoder(x)), coords

    def _check(self, x: Tensor, coords: Tensor) -> None:
        """Raise EegfmError for wrong shapes of the inputs, and warn about volts."""
        shape = self.spec.shape
        if x.ndim != len(shape) + 1:
            what = "[batch, channel, time]" if len(shape) == 2 else "[batch, channel, second, width]"
            raise EegfmError(
                f"The input has the shape {tuple(x.shape)}. The model takes {what}: {say_input(self.spec)}."
            )
        if coords.ndim != 2 or coords.shape[1] != 3 or len(coords) != x.shape[1]:
            raise EegfmError(
                f"The input has {x.shape[1]} channels, and their places have the shape {tuple(coords.shape)}. "
                f"This model was trained on {say_input(self.spec)}. If it takes other channels, pass their places: "
                "coords="
                "eegfm.signal.montage.montage_of([<names>]).coords"
            )
        if len(shape) == 2 and x.numel() and 0 < float(x.abs().max()) < VOLTS:
            warnings.warn(
                f"The largest value is {float(x.abs().max()):.2g}. The model takes microvolts, and this looks like "
                "volts (MNE's unit). Multiply by 1e6.",
                stacklevel=4,
            )

    def _make_head(self, head: Mapping[str, Any] | None) -> Any:
        if head is None:
            return None
        if self.kind == "classify":
            return make_head(self.backbone, self.spec.n_logits, **head)
        if self.kind == "forecast":
            from eegfm.tasks.forecast import (
                Convolution,
                Mamba,
            )  # imports Lightning, which other models do not need

            return (Convolution if head["name"] == "convolution" else Mamba)(self.spec.n_channels)
        return FittedHead(n_classes=len(self.spec.classes), **head)


class Tokens(nn.Module):
    """An encoder's vectors of windows in microvolts, as a store has them: every second alone, in 16 bits, frozen."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.second, self.width = round(encoder.sfreq), encoder.width
        self.vectors: Callable[[Tensor], Tensor] = getattr(encoder, "vectors", encoder.encode)
        # the network of the encoder, which moves and is saved with this module; the spectrum encoder has none
        self.network: nn.Module | None = getattr(encoder, "network", None)

    def spec(self, raw: SampleSpec) -> SampleSpec:
        """The spec of the tokens, from that of raw windows."""
        if raw.sfreq != self.second or raw.shape[1] % self.second:
            raise EegfmError(
                f"This encoder takes whole seconds at {self.second} Hz. The windows have {raw.shape[1]} samples at "
                f"{raw.sfreq:g} Hz."
            )
        shape = (raw.shape[0], raw.shape[1] // self.second, self.width)
        return SampleSpec(raw.montage, shape, raw.sfreq, raw.classes, raw.corpora, raw.montages)

    def forward(
        self, x: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel second width"]:
        if x.shape[-1] % self.second:
            raise EegfmError(
                f"The windows have {x.shape[-1]} samples. The encoder takes whole seconds of {self.second} samples."
            )
        series = x.reshape(-1, self.second)
        parts = [series] if torch.compiler.is_compiling() else series.split(SERIES)
        vectors = torch.cat([self.vectors(part) for part in parts])
        return vectors.half().to(x.dtype).reshape(*x.shape[:2], -1, self.width)

    def train(self, mode: bool = True) -> "Tokens":
        return super().train(False)  # a frozen encoder uses no dropout


# ---- a folder --------------------------------------------------------------------------------------------------------


def read(folder: Path, make: Callable[[dict[str, Any]], Portable] = Portable) -> Portable:
    """The model of an exported folder, from its config.json and model.safetensors alone.

    Raises:
        EegfmError: one of the files is missing, damaged or not ours, or the two do not match.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise EegfmError(
                f"{folder} has no {name}, so it was not written by eegfm export. Type: eegfm export <run>"
            )
    config, (state, _) = read_config(folder), read_safetensors(folder / WEIGHTS)
    numbers = sum(tensor.numel() for tensor in state.values())
    try:
        # what is not in the file: places, tables of positions, places of classes
        with bounded(str(folder / CONFIG), 4 * numbers + 10**7):
            model = make(config)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, EegfmError):
            raise
        said = repr(error)
        raise EegfmError(f"{folder / CONFIG} is damaged: {said[:300]}") from None
    model = filled(model, state, str(folder / WEIGHTS))
    if config.get("estimator"):
        refuse_changed(folder / ESTIMATOR, [str(config["estimator"])])
        from eegfm.tasks.fitted import read_skops  # imports scikit-learn, which other models do not need

        model.estimator = read_skops(
            folder / ESTIMATOR, model.trust, "Export the run again: eegfm export <run>"
        )
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """The values of an exported config.json. Raises EegfmError if it is damaged or not ours."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EegfmError(f"{folder / CONFIG} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise EegfmError(f"This {CONFIG} was not written by eegfm export.")
    return without_sum(config, folder / CONFIG)


def filled(model: Portable, state: Mapping[str, Tensor], source: str) -> Portable:
    """The model with these tensors in it. Raises EegfmError if tensors are missing or left over."""
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise EegfmError(f"{source} does not hold the weights of this model: {reason}") from None
    return model.eval()


def tag_of(folder: Path) -> str:
    """A name for the weights in a folder, from the first digits of their file's SHA-256."""
    return f"weights-{sha256_of(folder / WEIGHTS)[:8]}"


def write(model: Portable, folder: Path) -> None:
    """Write config.json and model.safetensors, which `read` reads."""
    refuse_links(folder, *(folder / name for name in FILES))
    folder.mkdir(parents=True, exist_ok=True)
    # also with the weights, which may be copied without their config.json
    about = {"seen": json.dumps(model.config["seen"])} if "seen" in model.config else {}
    save_tensors(model.state_dict(), folder / WEIGHTS, about)
    if isinstance(model.backbone, OwnEstimator):
        from skops.io import dump  # it imports all of scikit-learn

        dump(model.estimator, folder / ESTIMATOR)
        model.config["estimator"] = sha256_of(folder / ESTIMATOR)
    text = json.dumps(with_sum(model.config), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    # safetensors makes a file that only its owner may read
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)
