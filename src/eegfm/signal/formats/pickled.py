"""Pickles that hold NumPy arrays -> those arrays. Nothing in a file is run, imported or trusted.

A pickle is a program: it may name any function of any module and call it. Some corpora are published as
pickles all the same. Here the names that NumPy's own pickles use stand for small functions of this module,
and no other name exists. Even NumPy's functions are not called: an array is built from the type, the shape
and the bytes that the file states, because NumPy trusts the state of a pickled dtype and would follow false
bytes as addresses.
"""

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN

READ = "NumPy arrays of numbers or characters, lists, tuples, dicts, numbers and strings are read"


def read_pickled(path: Path) -> Any:
    """The content of a pickle file of NumPy arrays in plain containers; arrays may be read-only.

    Raises EegfmError, always with the file's name, if the file is damaged or asks for anything else.
    """
    with open(path, "rb") as file:
        try:
            return _load(file, path)
        except EegfmError as error:
            raise EegfmError(f"{error} {FETCH_AGAIN}") from error


def unpickle(data: bytes, *, name: str | Path) -> Any:
    """The content of a pickle's bytes, as in `read_pickled`; `name` is their origin in messages."""
    return _load(io.BytesIO(data), name)


def _load(file: IO[bytes], name: str | Path) -> Any:
    try:
        # latin1: the bytes of an array that Python 2 pickled
        return _finished(_Unpickler(file, encoding="latin1").load(), {})
    except _Refused as refused:
        raise EegfmError(
            f"{name} is a pickle that {refused}. {READ}, and nothing in a file is run."
        ) from refused
    except Exception as error:  # a damaged pickle raises anything
        raise EegfmError(f"{name} cannot be read as a pickle ({type(error).__name__}: {error}).") from error


class _Refused(Exception):
    """The pickle asks for something that it may not have; the message says for what."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _NAMES[module_name, global_name]
        except KeyError:
            raise _Refused(f"asks for {module_name}.{global_name}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Refused("refers to objects outside itself")


class _Name:
    """The object behind a name that a pickle may use: the pickle can call it and cannot change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise _Refused("tries to change what it may use")


class _Dtype:
    """A dtype in the making: the pickle names it, then states its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[biufcSU]\d+", code):
            raise _Refused(f"holds an array of {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if tuple(state[2:5]) != (None, None, None):
            raise _Refused("holds an array of structures")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array in the making: the pickle creates it, then states its shape, type, order and bytes."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: Any = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: _Dtype, shape: tuple, order: Any) -> np.ndarray:
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise _Refused("holds an array that is not made of bytes")
    if not data:  # frombuffer refuses no bytes
        return np.empty(0, dtype.dtype.newbyteorder("=")).reshape(shape)
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return array.astype(dtype.dtype.newbyteorder("="), copy=False)


def _frombuffer(data: Any, dtype: _Dtype, shape: tuple, order: Any, axes: Any = None) -> _Array:
    """NumPy's own function of that name, which protocol 5 calls; order "K" comes with a permutation of the axes."""
    made = _Array()
    if order == "K":
        made.array = _array(data, dtype, shape, "C")
        made.array = made.array if axes is None else made.array.transpose(axes)
    else:
        made.array = _array(data, dtype, shape, order)
    return made


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return _array(data, dtype, (1,), "C")[0]


def _latin1(text: str, encoding: str) -> bytes:
    """Decode bytes as protocols 0 to 2 write them."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"encodes text as {encoding!r}")
    return text.encode("latin1")


def _never(*_: Any) -> NoReturn:
    raise _Refused("makes an array in a way that NumPy does not")


_NAMES = {
    ("numpy", "ndarray"): _Name(_never),
    ("numpy", "dtype"): _Name(_Dtype),
    ("_codecs", "encode"): _Name(_latin1),
    ("__builtin__", "bytes"): _Name(lambda: b""),
    ("builtins", "bytes"): _Name(lambda: b""),
    **{
        (f"numpy.{core}.{module}", name): _Name(call)
        for core in ("core", "_core")  # before and since NumPy 2
        for module, name, call in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


def _finished(value: Any, seen: dict[int, tuple[Any, Any]]) -> Any:
    """The same containers with finished arrays in place of `_Array`s. Shared objects stay shared.

    `seen` maps a container's id to the container (kept alive, so that no other object gets its id) and to
    its finished form.
    """
    if isinstance(value, _Array) and value.array is not None:
        return value.array
    if isinstance(value, list | dict | tuple):
        if id(value) not in seen:
            seen[id(value)] = value, value  # before its elements: a list may hold itself
            if isinstance(value, list):
                value[:] = [_finished(element, seen) for element in value]
            elif isinstance(value, dict):
                pairs = [(_finished(key, seen), _finished(kept, seen)) for key, kept in value.items()]
                value.clear()
                value.update(pairs)
            else:
                seen[id(value)] = value, tuple(_finished(element, seen) for element in value)
        return seen[id(value)][1]
    if isinstance(value, str | bytes | bytearray | int | float | complex | np.generic | None):
        return value
    raise _Refused(
        "holds an unfinished array"
        if isinstance(value, _Array)
        else f"holds a {type(value).__name__.strip('_')}"
    )
