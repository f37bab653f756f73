"""`eegfm.load`: a trained model from its run folder, from a folder of `eegfm export`, or from the Hugging Face hub.

The weights of a run come from its checkpoint, read with `weights_only=True`. A run that was fitted in one step has a
file of fitted arrays instead (`eegfm.tasks.fitted`).
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm.build import trained
from eegfm.config.make import make
from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.export.described import CONFIG, FITTED, FORMAT, OURS, SCHEMA, montage_json, spec_json
from eegfm.export.model import Portable, filled, read
from eegfm.nn.adapters import take_out
from eegfm.runs.place import Place
from eegfm.runs.results import read_result
from eegfm.support.trust import OWN_PATH
from eegfm.tasks.weights import read_state

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig
    from torch import Tensor

log = logging.getLogger(__name__)

HUB = "hub:"
TASKS = {
    "eegfm.tasks.classify.Classify": "classify",
    "eegfm.tasks.reconstruct.Reconstruct": "reconstruct",
    "eegfm.tasks.forecast.Forecast": "forecast",
    "eegfm.tasks.probe.Probe": "probe",
    "eegfm.tasks.estimate.Estimate": "estimate",
}


def load(
    place: str | Path, *, revision: str | None = None, tokens: bool = False, trust: Sequence[str] = ()
) -> Portable:
    """A trained model as a torch module: see `eegfm.export.model.Portable`.

    Args:
        place: a run folder, a folder that `eegfm export` wrote, or "hub:<user>/<name>".
        revision: the commit, tag or branch on the hub.
        tokens: leave out the encoder of a run; the model then takes the encoder's vectors.
        trust: modules that the run's config may name beside those of `conf/`; a config can run anything in them.

    Raises:
        EegfmError: there is no model at `place`, or it is damaged.
    """
    if str(place).startswith(HUB):
        return the_hub().from_hub(str(place).removeprefix(HUB), revision)
    if revision is not None:
        raise EegfmError(
            f"revision={revision} needs a model on the hub. "
            f"Type: eegfm.load('{HUB}<user>/<name>', revision='{revision}')"
        )
    folder = Path(place)
    if Place.of(folder).is_run:
        return of_run(Place.of(folder, trust), tokens=tokens)
    if (folder / CONFIG).is_file():
        return read(folder, partial(Portable, trust=trust))
    raise EegfmError(
        f"No model at {folder}. Name a run folder (runs/<experiment>/<name>), a folder that eegfm export wrote, or "
        f"{HUB}<user>/<name>."
    )


def the_hub() -> Any:
    """The module `eegfm.export.hub`. Raises EegfmError if its package, an extra, is not installed."""
    try:
        from eegfm.export import hub
    except ImportError as error:
        raise EegfmError(
            f"The hub needs huggingface_hub ({error}). Type: pip install 'eegfm[hub]'"
        ) from error
    return hub


def of_run(place: Place, *, tokens: bool = False) -> Portable:
    """The model of a finished run. Raises EegfmError if the run has not finished, or its task gives no model."""
    result = read_result(place.path)
    run = place.config
    kind = TASKS.get(run.task["_target_"])
    if kind is None:
        raise EegfmError(
            f"{place}: a model of {run.task['_target_']} cannot be exported. Choose a run of one of {', '.join(TASKS)}."
        )
    spec, encoder, why = _input(run, result.benchmark.fingerprint)
    if encoder is not None and tokens:
        spec, encoder, why = _tokens(run), None, "the export was asked to leave it out"
    config: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "kind": kind,
        "input": spec_json(spec),
        "scale": run.task.get("scale"),
        "encoder": None if encoder is None else _described(run.encoder),
        "backbone": _described(run.model),
        "head": None,
        "encoder_left_out": why,
        "seen": result.people,
        "encoder_weights": _weights(run.encoder) or _weights(run.model.get("encoder") or {}),
        "steps": {
            part.benchmark.name: [
                repr(s) for s in (part.benchmark.steps if part.steps is None else part.steps)
            ]
            for part in data_of(run).corpora.values()
        },
    }
    declared = {
        part.benchmark.name: _said(part.benchmark.declared) for part in data_of(run).corpora.values()
    }
    if any(declared.values()):
        config["declared"] = declared
    estimator: Any = None
    if kind in FITTED:
        task = trained(run, place).task
        estimator = task.fitted.pipeline() if hasattr(task.fitted, "pipeline") else None
        of_ones_own = run.model["_target_"] in OWN_PATH and kind == "estimate"
        fitted, state = ({"estimator": True}, {}) if of_ones_own else _fitted(kind, task, len(spec.classes))
        config |= fitted
    else:
        config |= _head_config(kind, run)
        checkpoint = _merged(run, place) if run.task.get("adapters") else read_state(place.checkpoint)
        state = {key: value for key, value in checkpoint.items() if key.startswith(("backbone.", "head."))}
    if encoder is not None and hasattr(encoder, "network"):
        state |= {f"encoder.network.{key}": value for key, value in encoder.network.state_dict().items()}
    model = filled(Portable(config, trust=place.trust), state, str(place))
    model.estimator = estimator
    return model


def _merged(run: "DictConfig", place: Place) -> dict[str, "Tensor"]:
    """The tensors of a run with adapters as those of a run without: the adapters are merged."""
    task = trained(run, place).task
    take_out(task.backbone)
    return task.state_dict()


def _input(run: "DictConfig", fingerprint: str) -> tuple[SampleSpec, Any, str]:
    """The spec of the input, the encoder that it passes first (or None), and why a run's encoder is left out.

    Without the encoder the input is its tokens.
    """
    encoder, why = None, ""
    try:
        encoder = make(run.encoder, "encoder")
        if encoder is None:
            return data_of(run).spec, None, ""
        _ = getattr(encoder, "network", None)  # builds it, which fails here if its package is missing
        data = data_of(run, encoder)
        its_store = "+".join(part.recipe.fingerprint for part in data.corpora.values())
        if its_store == fingerprint:
            return data_of(run).spec, encoder, ""
        why = "the available encoder is not the one of the run's store"
        reason = f"the store is {fingerprint}, and this encoder would make {its_store}"
    except EegfmError as error:
        if encoder is None and "weights" not in run.encoder:
            raise
        # the card shows `why`, so it must not contain paths of this machine
        why, reason = "its weights or its package were missing", str(error).splitlines()[0]
    log.warning("The exported model has no encoder and takes its vectors: %s (%s)", why, reason)
    return _tokens(run), None, why


def _tokens(run: "DictConfig") -> SampleSpec:
    """The spec of a sample behind the run's encoder, whose weights may be missing here."""
    node = run.encoder.copy()
    if "weights" in node:
        node.weights = "random"
    return data_of(run, make(node, "encoder")).spec


def data_of(run: "DictConfig", encoder: Any = None) -> Any:
    """The run's data module, without opening its store."""
    return make(run.data, "data")(encoder=encoder, split=None)


def _said(declared: Any) -> dict[str, Any]:
    """What is declared of a data set's files, in JSON's types."""
    said = {"units": dict(declared.units), "aliases": dict(declared.aliases)}
    return {key: value for key, value in said.items() if value}


def benchmarks_of(place: Place) -> dict[str, Any]:
    """The benchmarks of a run's data by name: one, or those of a mix."""
    return {part.benchmark.name: part.benchmark for part in data_of(place.config).corpora.values()}


def _weights(node: Mapping[Any, Any]) -> str | None:
    """Whether an encoder has published or random weights; None if it has no weights."""
    if "weights" not in node:
        return None
    return "random" if node["weights"] == "random" else "published"


def _described(node: Any) -> Any:
    """A node of a config in JSON: our classes with their arguments; montages and arrays of other makers by value."""
    import numpy as np
    from omegaconf import OmegaConf

    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, list):
        return [_described(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    name = node.get("_target_")
    if name is None:
        return {key: _described(value) for key, value in node.items()}
    if name == "eegfm.models.mine.Estimator":  # kept as it was fitted; its arguments may be other classes
        return {"class": name, "arguments": {"path": node["path"]}}
    if not OURS.fullmatch(name):  # montages and transforms: their values, not the code that makes them
        value = make(OmegaConf.create(dict(node)), "model")
        if isinstance(value, Montage):
            return {"montage": montage_json(value)}
        if isinstance(value, np.ndarray):
            return {"array": value.tolist()}
        raise EegfmError(f"{name} makes a {type(value).__name__}, which {CONFIG} cannot hold.")
    arguments = {
        key: _described(value) for key, value in node.items() if not key.startswith("_") and key != "seen"
    }
    # an encoder's weights come from the exported file, and move with the module
    arguments |= {
        key: value for key, value in (("weights", "random"), ("device", "cpu")) if key in arguments
    }
    described: dict[str, Any] = {"class": name, "arguments": arguments}
    return {**described, "partial": True} if node.get("_partial_") else described


def _head_config(kind: str, run: "DictConfig") -> dict[str, Any]:
    """The config of the head that a trained task adds to its backbone."""
    from omegaconf import OmegaConf

    if kind == "classify":
        names = ("hidden", "activation", "dropout", "threshold")
        head = {name: run.task[name] for name in names if name in run.task}
        return {"head": OmegaConf.to_container(OmegaConf.create(head))}
    if kind == "forecast":
        name = run.task.head
        return {"ratio": run.task.ratio, "head": None if name is None else {"name": name}}
    return {}


def _fitted(kind: str, task: Any, n_classes: int) -> tuple[dict[str, Any], dict[str, "Tensor"]]:
    """The parts of the config and the tensors that come from a fit in one step."""
    import torch

    if kind == "probe":
        state = {f"backbone.{key}": value for key, value in task.backbone.state_dict().items()}
        config: dict[str, Any] = {"layer": task.features.layer, "pooling": task.features.pooling}
    else:
        arrays = _transform(task.fitted)
        state = {f"backbone.{key}": torch.from_numpy(value) for key, value in arrays.items()}
        config = {"fitted": {key: list(value.shape) for key, value in arrays.items()}}
    head, weights = _head(task.fitted, n_classes)
    state |= {f"head.{key}": torch.as_tensor(value, dtype=torch.float64) for key, value in weights.items()}
    return {**config, "head": head}, state


def _transform(model: Any) -> dict[str, "np.ndarray"]:
    """The fitted arrays of pyriemann: the spatial filters, or the mean covariance."""
    import numpy as np

    transform = getattr(model, "transform", None)
    names = [name for name in ("filters_", "reference_") if hasattr(transform, name)]
    return {name: np.ascontiguousarray(getattr(transform, name), dtype=np.float64) for name in names}


def _head(fitted: Any, n_classes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments and the tensors of `FittedHead`, for a head of `eegfm.tasks.heads` or a classical model."""
    import numpy as np
    from sklearn.linear_model import RidgeClassifier
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    frequency = getattr(fitted, "frequency", None)
    if frequency is not None:  # majority: logarithms of the class frequencies, the same for every window
        present = np.flatnonzero(frequency)
        values = np.log(frequency[present])
        return _linear(np.zeros((len(values), 1)), values, present, "softmax", None)
    network = getattr(fitted, "net", None)
    if network is not None:
        arrays = {f"values.{key}": value for key, value in network.state_dict().items()}
        arrays |= {"mean": fitted.scaler.mean_, "std": fitted.scaler.scale_}
        head = {"link": "mlp", "n_features": len(fitted.scaler.mean_), "n_values": n_classes}
        return {**head, "classes": list(range(n_classes))}, arrays
    steps = [*getattr(fitted.estimator, "named_steps", {"": fitted.estimator}).values()]
    last: Any = steps[-1]
    if isinstance(last, KNeighborsClassifier):
        raise EegfmError(
            "task.head=knn consists of the training windows themselves, which an exported file must not contain. "
            "Choose a run with another head: logistic, ridge or mlp."
        )
    scaler = next((step for step in steps if isinstance(step, StandardScaler)), None)
    if isinstance(last, OneVsRestClassifier):
        parts: Any = last.estimators_
        coef, intercept = (np.concatenate([getattr(p, n) for p in parts]) for n in ("coef_", "intercept_"))
        return _linear(coef, intercept, last.classes_, "rest", scaler)
    # ridge regression gives two classes +v and -v, and their difference is 2v
    factor = 2 if isinstance(last, RidgeClassifier) and len(last.classes_) == 2 else 1
    coef = np.atleast_2d(last.coef_) * factor
    transform = _transform(fitted).get("filters_")
    if transform is not None:  # the classifier uses only the first filters
        coef = np.pad(coef, ((0, 0), (0, len(transform) - coef.shape[1])))
    return _linear(coef, np.atleast_1d(last.intercept_) * factor, last.classes_, "softmax", scaler)


def _linear(
    coef: "np.ndarray", intercept: "np.ndarray", classes: Any, link: str, scaler: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments and the tensors of a linear `FittedHead`."""
    n_values, n_features = coef.shape
    arrays: dict[str, Any] = {"values.weight": coef, "values.bias": intercept}
    arrays["mean"] = [0.0] * n_features if scaler is None else scaler.mean_
    arrays["std"] = [1.0] * n_features if scaler is None else scaler.scale_
    head = {"link": link, "n_features": n_features, "n_values": n_values}
    return {**head, "classes": [int(i) for i in classes]}, arrays
