"""A model as its exported `config.json` describes it, and back."""

import re
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from eegfm.contracts import EegfmError, Montage, SampleSpec

FORMAT, SCHEMA = "eegfm model", 1


CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


FILES = (CONFIG, WEIGHTS, CARD, "model.pt2", "model.onnx")  # what eegfm export writes


KINDS = ("classify", "reconstruct", "forecast", "probe", "estimate")


FITTED = ("probe", "estimate")  # in one go, not by gradients


OURS = re.compile(r"eegfm\.(models|encoders)\.\w+\.[A-Z]\w*")  # what a file may have made


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
