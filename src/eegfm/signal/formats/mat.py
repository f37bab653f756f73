"""MAT files, versions 5 to 7.3 -> arrays, with MATLAB's axes. SciPy reads up to 7, h5py reads 7.3 (which is HDF5).

HDF5 stores a MATLAB array with its axes in reverse, and readers disagree on whether axes of length one are kept. Here a
variable comes back the same from every version: as MATLAB's `size` says it, so that a session of one trial keeps its
first axis.

SciPy follows the type codes of an uncompressed file unchecked, and one wrong byte among them ends the whole process
(SciPy 1.17, a segmentation fault). So they are checked first; compressed variables carry a checksum.
"""

import math
import mmap
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy  # its parts, and h5py below, load when a file is read, which most commands never do

from eegfm.contracts import FETCH_AGAIN, EegfmError

# type codes of the format
NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})  # miINT8 to miUINT64
TEXT = NUMBERS | {16, 17, 18}  # and miUTF8, miUTF16, miUTF32
MATRIX, COMPRESSED = 14, 15


def read_mat(path: Path, variables: Sequence[str]) -> dict[str, Any]:
    """The named variables of a MAT file.

    Numbers and truth values become arrays of MATLAB's type with MATLAB's axes, at least two: a scalar is [1, 1], a row
    [1, n]. A char row becomes a str (several rows a list of them), a cell array a list of its elements column by
    column, a struct a dict of its fields, an array of structs a list of dicts.

    Raises EegfmError, always with the file's name, where the file cannot be read, lacks a variable, or keeps in it what
    is none of these (sparse and complex numbers, objects, functions).
    """
    with open(path, "rb") as file:  # what the system refuses is no damage
        empty = not file.read(1)
    import h5py

    try:
        if empty:
            raise ValueError("it is empty")
        return (_read_hdf5 if h5py.is_hdf5(path) else _read_scipy)(path, variables)
    except EegfmError:
        raise
    except Exception as error:  # both libraries raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as a MAT file ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error


def _refuse_missing(path: Path, variables: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in variables if name not in there]
    if missing:
        raise EegfmError(
            f"{path} has no variable {' and no variable '.join(missing)}; it has {', '.join(there) or 'none at all'}. "
            f"{FETCH_AGAIN}"
        )


def _unknown(path: Path, what: str) -> EegfmError:
    return EegfmError(
        f"{path} holds {what}; numbers, characters, cells and structs are read. {FETCH_AGAIN}"
    )


# ---- versions 5 to 7 -------------------------------------------------------------------------------------------------


def _read_scipy(path: Path, variables: Sequence[str]) -> dict[str, Any]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check_elements(content, variables)
    with warnings.catch_warnings():
        # a variable twice, or complex numbers whose imaginary part would be dropped
        warnings.simplefilter("error", scipy.io.matlab.MatReadWarning)
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        # squeeze_me=False keeps axes of length one, struct_as_record=False tells structs from arrays, mat_dtype=True
        # undoes that MATLAB stores whole numbers in the smallest type that holds them
        found = scipy.io.loadmat(
            path, variable_names=list(variables), squeeze_me=False, struct_as_record=False, mat_dtype=True
        )
    if any(name not in found for name in variables):
        _refuse_missing(path, variables, [name for name, _, _ in scipy.io.whosmat(path)])
    return {name: _from_scipy(path, found[name]) for name in variables}


def _from_scipy(path: Path, value: Any) -> Any:
    if isinstance(value, scipy.io.matlab.mat_struct):
        return {name: _from_scipy(path, getattr(value, name)) for name in vars(value)["_fieldnames"]}
    if type(value) is not np.ndarray:  # MatlabOpaque and MatlabFunction are subclasses
        raise _unknown(path, f"a {type(value).__name__}")
    if value.dtype.kind in "SU":
        return _text([str(row) for row in value.ravel()])
    if value.dtype.kind == "O":
        elements = [_from_scipy(path, element) for element in value.ravel(order="F")]
        is_struct = value.size == 1 and isinstance(value.item(), scipy.io.matlab.mat_struct)
        return elements[0] if is_struct else elements
    if value.dtype.kind not in "biuf":
        raise _unknown(path, f"an array of {value.dtype}")
    return value


def _check_elements(content: mmap.mmap, variables: Sequence[str]) -> None:
    """Raise ValueError where an uncompressed variable is not built as MathWorks' "MAT-File Format" says."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("it has no header of version 5 or 7")
    for kind, start, stop in _elements(content, 128, len(content), order, padded=False):
        if kind == COMPRESSED:
            continue
        if kind != MATRIX:
            raise ValueError(f"a variable of type {kind} at byte {start}")
        parts = list(_elements(content, start, stop, order))
        if len(parts) < 3:
            raise ValueError(f"no variable at byte {start}")
        if content[slice(*parts[2][1:])].decode("latin1") in variables:
            _check_matrix(content, start, stop, order)


def _check_matrix(content: mmap.mmap, start: int, stop: int, order: str) -> None:
    parts = list(_elements(content, start, stop, order))
    if not parts:  # an empty cell
        return
    if len(parts) < 3 or parts[0][0] != 6 or parts[1][0] != 5 or parts[2][0] != 1:
        raise ValueError(f"no array at byte {start}")
    (flags,) = struct.unpack_from(f"{order}I", content, parts[0][1])
    sizes = content[slice(*parts[1][1:])]
    n = math.prod(struct.unpack(f"{order}{len(sizes) // 4}i", sizes))
    kind, rest = flags & 0xFF, parts[3:]
    if kind == 2:  # struct: the length of a field's name, the names, and every field of every element
        (length,) = struct.unpack_from(f"{order}i", content, rest[0][1])
        n *= (rest[1][2] - rest[1][1]) // length
        fine, rest = rest[0][0] == 5 and rest[1][0] == 1, rest[2:]
    else:
        fine = True
    if kind in (1, 2):
        fine = fine and len(rest) == n and all(part[0] == MATRIX for part in rest)
        for _, first, last in rest if fine else ():
            _check_matrix(content, first, last, order)
    elif kind == 4 or 6 <= kind <= 15:
        fine = not flags & 0x0800 and len(rest) == 1 and rest[0][0] in (TEXT if kind == 4 else NUMBERS)
    else:
        fine = False
    if not fine:
        raise ValueError(
            f"at byte {start} is no array of numbers or characters, no cell array and no struct, or not a whole one"
        )


def _elements(
    content: mmap.mmap, start: int, stop: int, order: str, *, padded: bool = True
) -> Iterator[tuple[int, int, int]]:
    """Type code, first byte and byte behind the last of each data element between two bytes."""
    while start < stop:
        kind, n = struct.unpack_from(f"{order}II", content, start)
        first, following = start + 8, start + 8 + (-(-n // 8) * 8 if padded else n)
        if kind >> 16:  # the small form: up to four bytes, within the tag
            kind, n, first, following = kind & 0xFFFF, kind >> 16, start + 4, start + 8
            if n > 4:
                raise ValueError(f"a damaged tag at byte {start}")
        if first + n > stop:
            raise ValueError(f"cut short, or a damaged tag at byte {start}")
        yield kind, first, first + n
        start = following


# ---- version 7.3 -----------------------------------------------------------------------------------------------------


# HDF5 can name other files, whose bytes would come in under this one's name, and describe far more than it holds.
PACKED = 1100  # bytes that deflate, the only filter of MATLAB's, makes of one at most, rounded up
HEADER = 32  # bytes that an object takes in a file at least


def _read_hdf5(path: Path, variables: Sequence[str]) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        _refuse_missing(path, variables, [name for name in map(str, file) if not name.startswith("#")])
        reader = _Hdf5(path)
        return {name: reader.read(reader.member(file, name)) for name in variables}


class _Hdf5:
    """Reads values of one file, each object about as often as a file of its size can hold objects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = path.stat().st_size // HEADER + 1000

    def member(self, group: Any, name: str) -> Any:
        """An object by its name in a group, unless it is a link."""
        import h5py

        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            place = getattr(link, "filename", "")
            raise _unknown(self.path, f"{name}, a link to {place or 'another place'}")
        return group[name]

    def read(self, value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _unknown(self.path, "objects within each other without end")
        kind = value.attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if (
            "MATLAB_sparse" in value.attrs
            or kind == "function_handle"
            or "MATLAB_object_decode" in value.attrs
        ):
            raise _unknown(self.path, f"{value.name}, which is sparse, an object or a function")
        if not hasattr(value, "dtype"):  # a group
            return self._struct(value)
        self._refuse_elsewhere(value)
        if "MATLAB_empty" in value.attrs:  # what is stored is the size
            empty = {"char": "", "cell": [], "struct": []}
            return empty[kind] if kind in empty else self._empty(value)
        data = value[()].T
        if kind == "char":
            return _text(["".join(map(chr, row)) for row in np.atleast_2d(data)])
        if data.dtype.kind == "O":
            return [self.read(value.file[reference]) for reference in data.ravel(order="F")]
        if data.dtype.kind not in "biuf":
            raise _unknown(self.path, f"{value.name}, an array of {data.dtype}")
        return np.ascontiguousarray(data).astype(bool if kind == "logical" else data.dtype, copy=False)

    def _empty(self, value: Any) -> np.ndarray:
        shape = tuple(value[()].astype(int))
        if 0 not in shape:
            raise _unknown(self.path, f"{value.name}, which is empty and of {shape}")
        return np.empty(shape)

    def _refuse_elsewhere(self, value: Any) -> None:
        """Raise EegfmError for an array whose numbers lie in other files, or nowhere."""
        if value.external or value.is_virtual:
            raise _unknown(self.path, f"{value.name}, whose numbers lie in other files")
        stored = value.id.get_storage_size()
        if value.nbytes > PACKED * stored + 4096:
            raise _unknown(
                self.path, f"{value.name}, {value.nbytes:,} bytes of which {stored:,} are stored"
            )

    def _struct(self, group: Any) -> Any:
        fields = {name: self.member(group, name) for name in group}
        # a field of one struct has a class of its own; a field of an array of structs is a bare list of references
        if fields and all(
            hasattr(field, "dtype") and field.dtype.kind == "O" and "MATLAB_class" not in field.attrs
            for field in fields.values()
        ):
            columns = {name: self.read(field) for name, field in fields.items()}
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {name: self.read(field) for name, field in fields.items()}


def _text(rows: list[str]) -> str | list[str]:
    return "" if not rows else rows[0] if len(rows) == 1 else rows
