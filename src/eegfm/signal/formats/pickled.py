"""Pickles that hold NumPy arrays -> those arrays. Nothing in a file is run, imported or trusted.

A pickle is a program: it may name any function of any module and call it. Some corpora are published as
pickles all the same. Here the names that NumPy's own pickles use stand for small functions of this module,
and no other name exists. Even NumPy's functions are not called: an array is built from the type, the shape
and the bytes that the file states, because NumPy trusts the state of a pickled dtype and would follow false
bytes as addresses.

Time and memory follow the size of the file. A few bytes can describe a tuple of 2**60 elements that share their
places: it is never walked through, hashed or printed. So keys are texts and numbers only, which Python's
unpickler can be told to check and C's cannot. (C's also makes its memo as long as the file says.) And numbers can be
chosen to be looked for in one place of a dict, each behind all others, so there are few of them.
"""

import io
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from eegfm.contracts import FETCH_AGAIN, EegfmError

READ = "NumPy arrays of numbers or characters, lists, tuples, dicts, numbers and strings are read"
COPIES = 4  # of the file's bytes: an array is made of bytes that were perhaps decoded first
SAID = 200  # characters of what a file says, in a message
NUMBERS = 20_000  # that are keys, in a file: at worst they take seconds
MAGIC = b"\x93NUMPY"
HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
OBJECT = "O8"  # the type of the one object that `numpy.save` wraps into an array


def read_pickled(path: Path) -> Any:
    """The content of a pickle file of NumPy arrays in plain containers; arrays may be read-only.

    Raises EegfmError, always with the file's name, if the file is damaged or asks for anything else.
    """
    with open(path, "rb") as file:
        return _read(file, path)


def read_npy(path: Path) -> Any:
    """The content of a file that `numpy.save` has written, of numbers or of one object such as a dict of arrays.

    A file without NumPy's head is read as a plain pickle, as NumPy does. Raises EegfmError as `read_pickled` does.
    """
    with open(path, "rb") as file:
        start = 0
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            try:
                shape, _, dtype = HEADS[np.lib.format.read_magic(file)](file)
            except (ValueError, KeyError) as error:
                said = _short(str(error))
                raise EegfmError(f"{path} has a damaged head ({said}). {FETCH_AGAIN}") from None
            if not dtype.hasobject:
                file.seek(0)
                try:
                    return np.load(file, allow_pickle=False)
                except (ValueError, EOFError, OSError) as error:
                    raise EegfmError(f"{path} is cut short or damaged: {error}. {FETCH_AGAIN}") from None
            if shape != ():
                raise EegfmError(f"{path} holds {shape} objects; one is read. {FETCH_AGAIN}")
            start = file.tell()
        return _read(file, path, start)


def _read(file: io.BufferedIOBase, path: Path, start: int = 0) -> Any:
    try:
        return _load(file, path, start)
    except EegfmError as error:
        raise EegfmError(f"{error} {FETCH_AGAIN}") from error


def unpickle(data: bytes, *, name: str | Path) -> Any:
    """The content of a pickle's bytes, as in `read_pickled`; `name` is their origin in messages."""
    return _load(io.BytesIO(data), name)


def _load(file: io.BufferedIOBase, name: str | Path, start: int = 0) -> Any:
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    room = Room(COPIES * size + 2**20)
    try:
        # latin1: the bytes of an array that Python 2 pickled
        return _finished(_Unpickler(Whole(file, size), room).load(), {})
    except Refused as refused:
        raise EegfmError(
            f"{name} is a pickle that {refused}. {READ}, and nothing in a file is run."
        ) from refused
    except Exception as error:  # a damaged pickle raises anything
        said = _short(str(error))
        raise EegfmError(f"{name} cannot be read as a pickle ({type(error).__name__}: {said}).") from None


def _short(text: str) -> str:
    return text if len(text) <= SAID else f"{text[:SAID]} ..."


class Refused(Exception):
    """The pickle asks for something that it may not have; the message says for what."""


class Room:
    """What one pickle may still take: bytes of arrays and decoded texts, and numbers that are keys."""

    def __init__(self, left: int) -> None:
        self.left, self.numbers = left, NUMBERS

    def take(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise Refused("makes far more bytes than it holds")

    def key(self, key: Any) -> None:
        """A tuple's hash is not kept: that of one whose elements share their places takes for ever."""
        if not isinstance(key, str | bytes | int | float | complex | np.generic | None):
            raise Refused(f"has a {type(key).__name__.strip('_')} for a key")
        self.numbers -= not isinstance(key, str | bytes)
        if self.numbers < 0:
            raise Refused(f"has more than {NUMBERS:,} numbers for keys")


class Whole:
    """A file that gives what is asked for or raises, and gives no room for more bytes than it has."""

    def __init__(self, file: io.BufferedIOBase, size: int) -> None:
        self._file, self._size = file, size

    def read(self, n: int) -> bytes:
        data = self._file.read(min(n, self._size))
        if len(data) < n:
            raise EOFError("it is cut short")
        return data

    def readline(self) -> bytes:
        line = self._file.readline(self._size)
        if not line.endswith(b"\n"):
            raise EOFError("it is cut short")
        return line


InPython: Any = vars(pickle)["_Unpickler"]  # see the module: the public one is C's


class _Unpickler(InPython):
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(InPython.dispatch)

    def __init__(self, file: Whole, room: Room) -> None:
        super().__init__(file, encoding="latin1")
        self._room = room

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _Name(_NAMES[module_name, global_name], self._room)
        except KeyError:
            raise Refused(f"asks for {_short(f'{module_name}.{global_name}')}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise Refused("refers to objects outside itself")

    def load_setitem(self) -> None:
        self._room.key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            self._room.key(key)
        super().load_setitems()

    def load_dict(self) -> None:
        for key in self.stack[::2]:
            self._room.key(key)
        super().load_dict()

    def load_bytearray8(self) -> None:
        # Python's own makes a bytearray of the stated length before it looks for the bytes
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_set(self) -> NoReturn:
        raise Refused("holds a set")

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.EMPTY_SET[0]] = dispatch[pickle.FROZENSET[0]] = load_set


class _Name:
    """The object behind a name that a pickle may use: the pickle can call it and cannot change it."""

    __slots__ = ("_call", "_room")

    def __init__(self, call: Callable[..., Any], room: Room) -> None:
        self._call, self._room = call, room

    def __call__(self, *args: Any) -> Any:
        return self._call(self._room, *args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise Refused("tries to change what it may use")


class _Dtype:
    """A dtype in the making: the pickle names it, then states its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, _room: Room, code: Any, *_: Any) -> None:
        self.dtype: Any = None  # of an object
        if isinstance(code, str) and code == OBJECT:
            return
        if not isinstance(code, str) or not re.fullmatch(r"[biufcSU]\d{1,9}", code):
            said = repr(_short(code)) if isinstance(code, str) else f"a {type(code).__name__}"
            raise Refused(f"holds an array of {said}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if tuple(state[2:5]) != (None, None, None):
            raise Refused("holds an array of structures")
        if self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array in the making: the pickle creates it, then states its shape, type, order and bytes."""

    __slots__ = ("_room", "array")

    def __init__(self, room: Room, *_: Any) -> None:
        self._room = room
        self.array: Any = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, _Dtype) and dtype.dtype is None:
            if shape != () or not isinstance(data, list) or len(data) != 1:
                raise Refused("holds an array of objects")
            self.array = data  # finished below
            return
        self.array = _array(self._room, data, dtype, shape, "F" if fortran else "C")


def _array(room: Room, data: Any, dtype: _Dtype, shape: tuple, order: Any) -> np.ndarray:
    if dtype.dtype is None:
        raise Refused("holds an array of objects")
    if not isinstance(data, str | bytes | bytearray):
        raise Refused("holds an array that is not made of bytes")
    room.take(len(data))  # the bytes may be another's, and a change of their order copies them
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    if not data:  # frombuffer refuses no bytes
        return np.empty(0, dtype.dtype.newbyteorder("=")).reshape(shape)
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return array.astype(dtype.dtype.newbyteorder("="), copy=False)


def _frombuffer(room: Room, data: Any, dtype: _Dtype, shape: tuple, order: Any, axes: Any = None) -> _Array:
    """NumPy's own function of that name, which protocol 5 calls; order "K" comes with a permutation of the axes."""
    made = _Array(room)
    if order == "K":
        made.array = _array(room, data, dtype, shape, "C")
        made.array = made.array if axes is None else made.array.transpose(axes)
    else:
        made.array = _array(room, data, dtype, shape, order)
    return made


def _scalar(room: Room, dtype: _Dtype, data: Any) -> Any:
    return _array(room, data, dtype, (1,), "C")[0]


def _latin1(room: Room, text: str, encoding: str) -> bytes:
    """Decode bytes as protocols 0 to 2 write them."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused("encodes text in another way than Latin-1")
    room.take(len(text))
    return text.encode("latin1")


def _never(*_: Any) -> NoReturn:
    raise Refused("makes an array in a way that NumPy does not")


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _never,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): lambda _room: b"",
    ("builtins", "bytes"): lambda _room: b"",
    **{
        (f"numpy.{core}.{module}", name): call
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
    if isinstance(value, _Array) and isinstance(value.array, list):
        return _finished(value.array, seen)[0]
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
    raise Refused(
        "holds an unfinished array"
        if isinstance(value, _Array)
        else f"holds a {type(value).__name__.strip('_')}"
    )
