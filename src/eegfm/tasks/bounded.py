"""What a foreign file may cost before torch or skops reads it: time and memory follow the size of the file.

torch's reader of weights (`weights_only=True`) runs no code, but it believes what a file says: a tensor of 2**40
numbers, a dict whose keys are all looked for in one place, lists in lists that are 2**60 long for whoever walks through
them. So the pickle is gone through first, with nothing in the places of tensors; torch reads it after that.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from eegfm.contracts import EegfmError
from eegfm.signal.formats.pickled import InPython, Refused, Room, Whole

# 10,000 tensors with AdamW's moments are a pickle of 3.5 million bytes and 1.2 million instructions
BYTES, READS = 2**23, 4_000_000  # of a checkpoint's pickle; an instruction is one read, or two
DEPTH, LEAVES = 100, 4_000_000  # of what it holds; what is shared counts wherever it stands
COPIES = 8  # of the file's bytes: tensors may share their numbers
LEGACY = 5  # pickles that begin a file from before torch 1.6
SUPPORTED = (  # the instructions that torch supports
    "PROTO STOP MARK GLOBAL REDUCE NEWOBJ BUILD APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1 TUPLE2 TUPLE3 NONE "
    "NEWFALSE NEWTRUE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BININT BININT1 BININT2 BINFLOAT BINUNICODE "
    "SHORT_BINSTRING BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT LONG1"
).split()
ITEM = {  # bytes of a number
    **dict.fromkeys(("BoolStorage", "ByteStorage", "CharStorage"), 1),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
}
LARGEST_ITEM = 16  # of the other kinds
LONG = "lists more than the tensors of any model"


def refuse_bomb(path: Path) -> None:
    """Raise EegfmError for a file that would take torch far more time or memory than its size says, or is damaged."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"  # as torch tells them apart
            file.seek(0)
            if not zipped:
                _go_through(file, size, LEGACY)
                return
            with zipfile.ZipFile(file) as archive:
                _refuse_swollen(archive, size)
                pickles = [one for one in archive.infolist() if one.filename.endswith("/data.pkl")]
                if len(pickles) != 1:
                    raise Refused(f"holds {len(pickles)} pickles instead of one")
                if pickles[0].file_size > BYTES:
                    raise Refused(LONG)
                _go_through(io.BytesIO(archive.read(pickles[0])), size, 1)
    except Refused as refused:
        raise EegfmError(
            f"{path} {refused}. No checkpoint does: it is damaged, or made to do harm, and was not read."
        ) from None
    except Exception as error:  # a damaged pickle raises anything
        said = str(error).splitlines() or [""]
        raise EegfmError(
            f"{path} is damaged, or no file that torch has saved ({type(error).__name__}: {said[0][:200]})."
        ) from None


def refuse_swollen(path: Path) -> None:
    """Raise EegfmError for a ZIP file that holds more than its size. A damaged one raises BadZipFile."""
    with zipfile.ZipFile(path) as archive:
        try:
            _refuse_swollen(archive, path.stat().st_size)
        except Refused as refused:
            raise EegfmError(f"{path} {refused}. No fit does: it was not read.") from None


def _refuse_swollen(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in members):
        raise Refused("is compressed")
    if sum(one.file_size for one in members) > size:
        raise Refused("holds more bytes than it has")
    if len({one.filename.lower() for one in members}) < len(members):  # torch's reader ignores the case
        raise Refused("holds two files of one name")


def _go_through(file: io.BufferedIOBase, size: int, n: int) -> None:
    """Go through the next `n` pickles of an open file; `size` is that of all that it belongs to, in bytes."""
    counted, room = _Counted(file), Room(COPIES * size + 2**20)
    stored = set()
    for _ in range(n):
        _refuse_endless(_GoneThrough(counted, room, stored).load())


class _Counted(Whole):
    """A file whose pickles end somewhere."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file, BYTES)
        self._bytes, self._reads = BYTES, READS

    def read(self, n: int) -> bytes:
        self._count(n)
        return super().read(n)

    def readline(self) -> bytes:
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, n: int) -> None:
        self._bytes, self._reads = self._bytes - n, self._reads - 1
        if self._bytes < 0 or self._reads < 0:
            raise Refused(LONG)


class _Name:
    """What stands for a function or a class."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Numbers:
    """What stands for the numbers of a tensor, of so many bytes each."""

    def __init__(self, item: int) -> None:
        self.item = item


class _Made(dict):
    """What stands for a tensor or another object: with entries, as a dict has, and `parts`."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = [*parts]


class _GoneThrough(InPython):
    """An unpickler that makes containers and plain values alone."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: InPython.dispatch[code] for name in SUPPORTED for code in getattr(pickle, name)
    }

    def __init__(self, file: Whole, room: Room, stored: set[Any]) -> None:
        super().__init__(file, encoding="latin1")
        self._room, self._stored = room, stored

    def find_class(self, module_name: str, global_name: str, /) -> _Name:
        return _Name(f"{module_name}.{global_name}")

    def persistent_load(self, pid: Any) -> _Numbers:
        _, kind, key, _, n, *_ = pid
        self._room.key(key)
        item = ITEM.get(kind.name.rpartition(".")[2], LARGEST_ITEM)
        if key not in self._stored:
            self._stored.add(key)
            self._room.take(_whole(n) * item)
        return _Numbers(item)

    def load_setitem(self) -> None:
        self._room.key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            self._room.key(key)
        super().load_setitems()

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].parts.append(state)

    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]] = load_setitem, load_setitems
    dispatch[pickle.REDUCE[0]], dispatch[pickle.NEWOBJ[0]] = load_reduce, load_newobj
    dispatch[pickle.BUILD[0]] = load_build

    def _made(self, what: Any, given: tuple) -> Any:
        """What stands for the result of a call. Whatever else torch would call is in no file of weights."""
        name = what.name if isinstance(what, _Name) else "a call of no function"
        match name.rpartition(".")[2], given:
            case (
                "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3",
                (_Numbers() as numbers, _, sizes, *rest),
            ):
                self._room.take(math.prod(map(_whole, sizes)) * numbers.item)
                return _Made(*rest)
            case "Parameter" | "_rebuild_parameter" | "_rebuild_parameter_with_state", _:
                return _Made(*given)
            case "_rebuild_from_type_v2", (function, _, arguments, state):
                return _Made(self._made(function, arguments), state)
            case "OrderedDict" | "Counter" | "set" | "Size" | "bytearray", ():
                return _Made()
            case "OrderedDict", (list() as pairs,):
                for key, _ in pairs:
                    self._room.key(key)
                return _Made(pairs)
            case "Counter" | "set", (list() | dict() as keys,):
                for key in keys:
                    self._room.key(key)
                return _Made()
            case "Size", (tuple() | list(),):
                return _Made(*given)
            case "device" | "complex" | "_get_layout", (str() | int() | float(), *_):
                return _Made()
            case "encode" | "bytearray", (str() as text, "latin1" | "latin-1"):
                self._room.take(len(text))
                return text  # it stands for the bytes
            case "bytearray", (str() as text,):
                self._room.take(len(text))
                return text
        raise Refused(f"asks for {name[:200]}")


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Refused("has a tensor whose size is no number")
    return value


def _refuse_endless(value: Any) -> None:
    """Raise Refused for what holds itself, is deeper than `DEPTH`, or has more than `LEAVES` elements to walk to."""
    found: dict[
        int, tuple[int, int] | None
    ] = {}  # depth and leaves of a container, None while it is walked through
    way = [value]
    while way:
        one = way[-1]
        inner = [part for part in _parts(one) if isinstance(part, list | tuple | dict)]
        if id(one) not in found:
            found[id(one)] = None
            if any(found.get(id(part), 0) is None for part in inner):
                raise Refused("holds something that holds itself")
            way += [part for part in inner if id(part) not in found]
            continue
        way.pop()
        if found[id(one)] is not None:
            continue
        measured = [found[id(part)] or (0, 0) for part in inner]
        depth = 1 + max((depth for depth, _ in measured), default=0)
        leaves = 1 + len(_parts(one)) - len(inner) + sum(leaves for _, leaves in measured)
        if depth > DEPTH or leaves > LEAVES:
            raise Refused(
                f"has more than {DEPTH} levels or {LEAVES:,} values, each counted wherever it stands"
            )
        found[id(one)] = depth, leaves


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values(), *(value.parts if isinstance(value, _Made) else ())]
    return [*value] if isinstance(value, list | tuple) else []
