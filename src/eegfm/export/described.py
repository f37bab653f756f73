"""Read and write the parts of an exported `config.json`: input, montages, and objects of our classes."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.support.trust import OWN_PATH, trusted

FORMAT, SCHEMA = "eegfm model", 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
ESTIMATOR = "model.skops"  # a fitted estimator of a person's own
SUMS = "SHA256SUMS"  # of the others: a program carries no checksum of its own
FILES = (
    CONFIG,
    WEIGHTS,
    CARD,
    ESTIMATOR,
    "model.pt2",
    "model.onnx",
    SUMS,
)  # all files that eegfm export writes
ADAPTER = "adapter"  # a folder in it, of adapters by themselves (eegfm.export.adapter)
KINDS = ("classify", "reconstruct", "forecast", "probe", "estimate")
FITTED = ("probe", "estimate")  # fitted in one step, not by gradients
OURS = re.compile(r"eegfm\.(models|encoders)\.\w+\.[A-Z]\w*")  # the classes that a config.json may name


def refuse_other(config: Mapping[str, Any]) -> None:
    """Raise EegfmError if the config is not ours, or is of another schema."""
    if config.get("format") != FORMAT or config.get("kind") not in KINDS:
        raise EegfmError(f"This {CONFIG} was not written by eegfm export.")
    if config.get("schema") != SCHEMA:
        raise EegfmError(
            f"This {CONFIG} has schema {config.get('schema')}, and this version of eegfm reads schema {SCHEMA}. "
            "Type: pip install --upgrade eegfm"
        )


def say_input(spec: SampleSpec) -> str:
    """The shape of a sample, in words."""
    n, *rest = spec.shape
    names = ", ".join(spec.montage.names[:4]) + (", ..." if n > 4 else "")
    if len(rest) == 1:
        return f"{n} channels ({names}), {rest[0]} samples at {spec.sfreq:g} Hz, microvolts"
    return f"{n} channels ({names}), {rest[0]} seconds, an encoder's vector of {rest[1]} numbers for each"


def spec_of(node: Mapping[str, Any]) -> SampleSpec:
    """The spec that `spec_json` wrote."""
    montages = tuple(_montage(montage) for montage in node["montages"])
    return SampleSpec(
        _montage(node["montage"]),
        tuple(node["shape"]),
        node["sfreq"],
        tuple(node["classes"]),
        tuple(node["corpora"]),
        montages,
    )


def spec_json(spec: SampleSpec) -> dict[str, Any]:
    """A spec in JSON's types; an unknown place is null."""
    return {
        "shape": list(spec.shape),
        "axes": ["channel", "time"] if len(spec.shape) == 2 else ["channel", "second", "width"],
        "unit": "microvolt" if len(spec.shape) == 2 else "the encoder's",
        "sfreq": float(spec.sfreq),
        "classes": list(spec.classes),
        "montage": montage_json(spec.montage),
        "corpora": list(spec.corpora),
        "montages": [montage_json(montage) for montage in spec.montages],
    }


def montage_json(montage: Montage) -> dict[str, Any]:
    """A montage in JSON's types."""
    ends = None if montage.ends is None else _plain(montage.ends)
    return {"names": list(montage.names), "coords": _plain(montage.coords), "ends": ends}


def _montage(node: Mapping[str, Any]) -> Montage:
    ends = None if node["ends"] is None else _array(node["ends"])
    return Montage(tuple(node["names"]), _array(node["coords"]), ends)


def _plain(values: np.ndarray) -> Any:
    """Nested lists, with null for NaN, which JSON lacks."""
    return [
        _plain(value) if value.ndim else (float(value) if np.isfinite(value) else None) for value in values
    ]


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def made(node: Any, trust: Sequence[str] = ()) -> Any:
    """The value that a node of a config describes; `trust` are modules whose classes may be made by their path.

    {"class", "arguments"} describes an object, and with "partial" a function that makes it.

    Raises:
        EegfmError: the class is not one of our models and encoders, an encoder would read a file, or the class does not
            take the arguments.
    """
    if isinstance(node, list):
        return [made(item, trust) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"montage"}:
        return _montage(node["montage"])
    if set(node) == {"array"}:
        return _array(node["array"])
    if "class" not in node:
        return {key: made(value, trust) for key, value in node.items()}
    name, kind = str(node["class"]), class_of(node["class"])
    arguments = {key: made(value, trust) for key, value in node["arguments"].items()}
    path = arguments.get("path")
    if name in OWN_PATH and not (isinstance(path, str) and trusted(path, trust)):
        module = str(path)[:200].rpartition(".")[0]
        raise EegfmError(
            f"{CONFIG} names {str(path)[:200]}, code outside of eegfm. So the file could run anything: it was not "
            f'imported. If you trust who wrote it: eegfm.load("<folder>", trust=["{module}"]), or --trust {module}'
        )
    if name.startswith("eegfm.encoders.") and arguments.get("weights", "random") != "random":
        raise EegfmError(
            f"{CONFIG} tells an encoder to read {arguments['weights']}. Only {WEIGHTS} may be read."
        )
    if node.get("partial"):
        return partial(kind, **arguments)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise EegfmError(f"{CONFIG}: {name} does not take its arguments: {error}") from None


def class_of(name: str) -> type:
    """The class of one of our models and encoders, by its path. Raises EegfmError for any other path."""
    if not OURS.fullmatch(str(name)):
        raise EegfmError(
            f"{CONFIG} names {name}, which is not a model or encoder of eegfm. eegfm makes no other objects."
        )
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError):
        raise EegfmError(
            f"{CONFIG} names {name}, which this version of eegfm does not have. Type: pip install --upgrade eegfm"
        ) from None
    if not isinstance(kind, type) or kind.__module__ != module:  # a name that the module imported
        raise EegfmError(
            f"{CONFIG} names {name}, which is not a model or encoder of eegfm. eegfm makes no other objects."
        )
    return kind
