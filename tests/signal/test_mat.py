"""MAT files of both kinds, sound and damaged. Written by SciPy's savemat and, as MATLAB lays it out, by h5py."""

import itertools
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from eegfm.contracts import EegfmError
from eegfm.signal.formats.mat import read_mat

RNG = np.random.default_rng(0)
NUMBERS = {
    "trials": RNG.standard_normal((3, 2, 5)),
    "one_trial": RNG.standard_normal((1, 2, 5)),
    "row": np.array([[1.0, 2.0, 1.0]]),
    "column": np.array([[1.0], [2.0]]),
    "scalar": np.array([[250.0]]),
    "single": RNG.standard_normal((2, 3)).astype(np.float32),
    "whole": np.array([[-3, 4]], dtype=np.int16),
    "truth": np.array([[True, False]]),
    "none": np.zeros((0, 3)),
}
CLASS_OF = {"float64": "double", "float32": "single", "int16": "int16", "bool": "logical"}


def cells(*elements) -> np.ndarray:
    made = np.empty((1, len(elements)), dtype=object)
    for i, element in enumerate(elements):
        made[0, i] = element
    return made


def write_v73(path, content: dict):
    """HDF5 behind 512 bytes of header, axes in reverse; elements of cells and of struct arrays lie in #refs#."""

    numbers = itertools.count()

    def put(group, name, value):
        if isinstance(value, dict):
            made = group.create_group(name)
            made.attrs["MATLAB_class"] = np.bytes_("struct")
            for field, element in value.items():
                put(made, field, element)
            return made
        if isinstance(value, str):
            data, kind = np.array([[ord(letter)] for letter in value], dtype=np.uint16), "char"
        elif value.dtype == object:
            data, kind = references(value.ravel()).reshape(value.T.shape), "cell"
        else:
            kind = CLASS_OF[value.dtype.name]
            data = value.T.astype(np.uint8) if kind == "logical" else value.T
        if data.size == 0:
            data = np.array(value.shape, dtype=np.uint64)
        made = group.create_dataset(name, data=data)
        made.attrs["MATLAB_class"] = np.bytes_(kind)
        if not getattr(value, "size", 1):
            made.attrs["MATLAB_empty"] = np.uint8(1)
        return made

    def references(elements) -> np.ndarray:
        refs = file.require_group("#refs#")
        made = np.empty(len(elements), dtype=h5py.ref_dtype)
        for i, element in enumerate(elements):
            made[i] = put(refs, f"r{next(numbers)}", element).ref
        return made

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            if isinstance(
                value, list
            ):  # an array of structs: fields are lists of references, without a class
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                for field in value[0]:
                    group.create_dataset(field, data=references([one[field] for one in value])[:, None])
            else:
                put(file, name, value)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def write_v5(path, content: dict, *, compress=True):
    fixed = {}
    for name, value in content.items():
        if isinstance(value, list):
            value = np.array(
                [tuple(one.values()) for one in value], dtype=[(field, "O") for field in value[0]]
            )
        fixed[name] = value
    scipy.io.savemat(path, fixed, do_compression=compress)
    return path


WRITERS = {
    "v5": lambda path, content: write_v5(path, content, compress=False),
    "v7": write_v5,
    "v7.3": write_v73,
}
every_version = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def refusal(path, variables) -> str:
    with pytest.raises(EegfmError) as caught:
        read_mat(path, variables)
    assert str(path) in str(caught.value)
    return str(caught.value)


@every_version
def test_numbers_come_back_with_matlabs_axes_and_type_from_every_version(tmp_path, write):
    found = read_mat(write(tmp_path / "a.mat", NUMBERS), list(NUMBERS))
    for name, value in NUMBERS.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


@every_version
def test_cells_structs_and_text_come_back_from_every_version(tmp_path, write):
    """The form of the BNCI files: a cell array of structs, each a run with its signal, labels and class names."""
    runs = [
        {
            "X": RNG.standard_normal((7, 3)),
            "y": np.array([[1.0], [4.0]]),
            "classes": cells("left hand", "feet"),
        },
        {"X": RNG.standard_normal((5, 3)), "y": np.zeros((0, 0)), "classes": cells("tongue")},
    ]
    content = {
        "data": cells(*runs),
        "one": cells(runs[0]),
        "single": runs[1],
        "array": runs,
        "name": "A01T",
    }
    found = read_mat(write(tmp_path / "a.mat", content), ["data", "one", "single", "array", "name"])
    assert found["name"] == "A01T"
    wanted = [{**run, "classes": run["classes"].ravel().tolist()} for run in runs]
    for name, structs in (("data", wanted), ("one", wanted[:1]), ("array", wanted)):
        assert isinstance(found[name], list)
        np.testing.assert_equal(found[name], structs)
    np.testing.assert_equal(found["single"], wanted[1])


@every_version
def test_only_what_is_asked_for_is_read(tmp_path, write):
    assert list(read_mat(write(tmp_path / "a.mat", NUMBERS), ["row"])) == ["row"]


@every_version
def test_a_missing_variable_is_named_with_those_that_are_there(tmp_path, write):
    sentence = refusal(
        write(tmp_path / "a.mat", {"eeg": np.ones((2, 2)), "y": np.ones((1, 2))}), ["data", "y"]
    )
    assert "no variable data" in sentence and "eeg, y" in sentence


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "value", [np.array([[1j]]), scipy.sparse.csc_array(np.eye(3))], ids=["complex", "sparse"]
)
def test_what_is_no_plain_array_is_refused_where_it_is_asked_for(tmp_path, value, compress):
    path = write_v5(tmp_path / "a.mat", {"a": value, "b": np.ones((1, 1))}, compress=compress)
    refusal(path, ["a"])
    assert read_mat(path, ["b"])["b"].item() == 1


@every_version
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_named(tmp_path, write, part):
    path = write(tmp_path / "a.mat", {"a": RNG.standard_normal((50, 40))})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refusal(path, ["a"])


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>not found</html>", bytes(5000), RNG.bytes(5000)]
)
def test_what_is_no_mat_file_is_named(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    refusal(tmp_path / "a.mat", ["a"])


FLIP = """
import sys
from pathlib import Path
import numpy as np
from eegfm.contracts import EegfmError
from eegfm.signal.formats.mat import read_mat

damaged, rng, refused = Path(sys.argv[1]) / "damaged.mat", np.random.default_rng(0), 0
for sound, i in [(path.read_bytes(), i) for path in map(Path, sys.argv[2:]) for i in range(400)]:
    content = bytearray(sound)
    # headers, tags and some of the data; every third flip may be anywhere
    for at in rng.integers(0, len(content) if i % 3 == 0 else min(len(content), 3000), 1 + i % 3):
        content[at] = rng.integers(0, 256)
    damaged.write_bytes(content)
    try:
        read_mat(damaged, ["a", "b", "c"])
    except EegfmError as error:
        assert str(damaged) in str(error)
        refused += 1
print(refused)
"""


@pytest.mark.slow
def test_flipped_bytes_give_a_sentence_or_an_array_and_never_end_the_process(tmp_path):
    """It runs in its own process: SciPy crashes (segmentation fault) on a wrong type code in an uncompressed file."""
    content = {
        "a": RNG.standard_normal((6, 4)),
        "b": cells({"x": np.ones((1, 2)), "y": "text"}, "z"),
        "c": [{"d": "e"}] * 2,
    }
    paths = [str(write(tmp_path / f"{name}.mat", content)) for name, write in WRITERS.items()]
    command = [sys.executable, "-c", FLIP, str(tmp_path), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert int(done.stdout) > 200


def test_a_wrong_type_code_that_ends_scipys_process_is_refused(tmp_path):
    """Byte 184 of such a file is the type of the first variable's numbers."""
    path = write_v5(tmp_path / "a.mat", {"data": RNG.standard_normal((6, 4, 3))}, compress=False)
    content = bytearray(path.read_bytes())
    assert content[184] == 9  # miDOUBLE
    content[184] = 8
    path.write_bytes(content)
    refusal(path, ["data"])


ELSEWHERE = {
    "an external link": (lambda file: file.__setitem__("x", h5py.ExternalLink("secret.h5", "x")), "a link to secret"),
    "a soft link": (lambda file: file.__setitem__("x", h5py.SoftLink("/y")), "a link to another place"),
    "a link in a struct": (
        lambda file: file.create_group("x").__setitem__("a", h5py.ExternalLink("secret.h5", "x")), "a link to secret",
    ),
    "external storage": (
        lambda file: file.create_dataset("x", (1, 5), "f8", external=[("secret.bin", 0, 40)]), "lie in other files",
    ),
    "a virtual array": (lambda file: virtual(file), "lie in other files"),
    "an array of 8 TB": (lambda file: file.create_dataset("x", (10**6, 10**6), "f8", chunks=(8, 8)), "0 are stored"),
    "an empty array of 8 TB": (lambda file: stated(file), "which is empty and of"),
    "structs of 2**40": (lambda file: doubled(file), "without end"),
}  # fmt: skip


def virtual(file) -> None:
    layout = h5py.VirtualLayout((1, 5), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (1, 5))
    file.create_virtual_dataset("x", layout)


def stated(file) -> None:
    made = file.create_dataset("x", data=np.array([10**6, 10**6], dtype=np.uint64))
    made.attrs["MATLAB_empty"] = np.uint8(1)


def doubled(file) -> None:
    inner = file.create_dataset("y", data=[[1.0]])
    for i in range(40):
        outer = file.create_group("x" if i == 39 else f"g{i}")
        outer["a"], outer["b"] = inner, inner
        inner = outer


@pytest.mark.parametrize("what", ELSEWHERE)
def test_numbers_of_other_files_and_objects_without_end_are_refused(tmp_path, what):
    """HDF5 would read the other file under this one's name, and make room for all that is stated."""
    make, said = ELSEWHERE[what]
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full((1, 5), 4242.0)
    np.full(5, 4242.0).tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "s.mat", "w") as file:
        make(file)
    with pytest.raises(EegfmError, match=rf"s\.mat holds .*{re.escape(said)}"):
        read_mat(tmp_path / "s.mat", ["x"])
