"""A class, a function or an estimator of scikit-learn as a node of a config, which makes it again."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from eegfm.contracts import EegfmError

PLAIN = (bool, int, float, str, type(None))


def is_estimator(value: Any) -> bool:
    """Whether it is an estimator of scikit-learn, and no class of one."""
    return hasattr(value, "get_params") and hasattr(value, "fit") and not isinstance(value, type)


def path_of(value: Any) -> str:
    """The dotted path by which a class or a function can be imported.

    Raises EegfmError for one that only this session has.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if not callable(value) or not module:
        raise EegfmError(
            f"A {type(value).__name__} was given. A module of torch, an estimator of scikit-learn, the class of one, "
            "or its path as a text is wanted."
        )
    if module == "__main__" or "." in name:
        raise EegfmError(
            f"{name} is defined in this session, and its runs could not be loaded again. Write it into a file "
            f"(in a notebook: %%writefile mymodel.py), and import it: from mymodel import {name.rpartition('.')[2]}"
        )
    public = ".".join(part for part in module.split(".") if not part.startswith("_"))
    if (
        getattr(sys.modules.get(public), name, None) is value
    ):  # sklearn.pipeline, and not sklearn.pipeline._base
        module = public
    return f"{module}.{name}"


def refuse_edited(value: Any) -> None:
    """Raise EegfmError if the file of a class or function was edited since this session has imported it.

    A run is named by its file, and would be filed under code that it was not made with.
    """
    file = Path(getattr(sys.modules.get(value.__module__), "__file__", None) or "")
    if file.suffix != ".py" or not file.is_file():
        return
    there = dict(_codes(compile(file.read_bytes(), str(file), "exec")))
    functions = [value, *vars(value).values()] if isinstance(value, type) else [value]
    here = [one.__code__ for one in map(inspect.unwrap, functions) if hasattr(one, "__code__")]
    if any(there.get(one.co_qualname) != one for one in here if Path(one.co_filename) == file):
        module = value.__module__
        raise EegfmError(
            f"{file} was edited after this session had imported {value.__qualname__}. Import it again: "
            f"import importlib, {module}; importlib.reload({module}); or begin a new session."
        )


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Every function in compiled code, by its name within the module."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one.co_qualname, one
            yield from _codes(one)


def node_of(value: Any) -> Any:
    """An argument as plain values; an estimator as the path of its class and those arguments that are no defaults.

    Raises EegfmError for what has no plain values.
    """
    if isinstance(value, PLAIN):
        return value
    if is_estimator(value):
        defaults = {name: one.default for name, one in inspect.signature(type(value)).parameters.items()}
        given = value.get_params(deep=False)
        return {"_target_": path_of(type(value))} | {
            name: node_of(one) for name, one in given.items() if one is not defaults.get(name)
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [node_of(one) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: node_of(one) for key, one in value.items()}
    if inspect.isfunction(value):
        refuse_edited(value)
        return {"_target_": "hydra.utils.get_object", "path": path_of(value)}
    raise EegfmError(
        f"A {type(value).__name__} among the arguments of an estimator cannot be written into a run's config. Write a "
        "function that makes the estimator, and pass that: eegfm.evaluate(make_classifier, ...)"
    )
