"""Pickles of arrays come back as Python's own unpickler gives them; another is refused before it does anything."""

import contextlib
import io
import os
import pickle
import resource
import struct
import sys
import time
import tracemalloc
from collections import OrderedDict
from datetime import date
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eegfm.contracts import EegfmError
from eegfm.signal.formats.pickled import read_pickled, unpickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "<f8", "i1", ">i2", "<i8", "u1", "?", "<c16", "S3", "<U2", ">U2"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
TREES = st.recursive(
    st.one_of(ARRAYS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3), st.tuples(inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(tree=TREES, protocol=st.sampled_from(PROTOCOLS), transposed=st.booleans())
def test_arrays_in_plain_containers_come_back_as_pickled(tree, protocol, transposed):
    if transposed and isinstance(tree, np.ndarray):
        tree = tree.T
    content = pickle.dumps(tree, protocol=protocol)
    same(unpickle(content, name="it"), pickle.loads(content))


def same(found, wanted) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        # NumPy itself goes to the machine's byte order, except under protocol 5
        np.testing.assert_array_equal(found, wanted.astype(wanted.dtype.newbyteorder("=")), strict=True)
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            same(found[key], wanted[key])
    else:
        assert found == wanted or found != found


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("old", [True, False])
def test_pickles_from_before_and_since_numpy_2_are_read(protocol, old):
    """The form of the reference's LMDB; NumPy 2 renamed the module that its pickles name."""
    sample = {"sample": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2), "label": np.int64(3)}
    content = pickle.dumps(sample, protocol=protocol)
    renamed = content
    if old:
        if protocol < 4:
            renamed = content.replace(b"cnumpy._core.", b"cnumpy.core.")
        else:  # a length before the name, and the frame's before all
            for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
                new = name.replace(b"_core", b"core")
                renamed = renamed.replace(bytes([len(name)]) + name, bytes([len(new)]) + new)
            frame = struct.unpack_from("<Q", content, 3)[0] - (len(content) - len(renamed))
            renamed = renamed[:3] + struct.pack("<Q", frame) + renamed[11:]
        assert renamed != content
    found = unpickle(renamed, name="it")
    assert found["label"] == 3
    np.testing.assert_array_equal(found["sample"], sample["sample"], strict=True)


def test_an_array_that_python_2_pickled_is_read():
    """There the bytes of an array are a str."""
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x10" + np.array([1.5, -2.0]).tobytes() + b"tb."
    )
    np.testing.assert_array_equal(pickle.loads(content, encoding="latin1"), [1.5, -2.0])
    np.testing.assert_array_equal(unpickle(content, name="it"), [1.5, -2.0])


def test_what_is_shared_stays_shared_and_a_list_may_hold_itself():
    array, row = np.ones(3), [1]
    row.append(row)
    found = unpickle(pickle.dumps([array, array, row, row]), name="it")
    assert found[0] is found[1] and found[2] is found[3] and found[2][1] is found[2]
    deep = array
    for _ in range(60):  # 2 ** 60 lists, if each were copied each time
        deep = [deep, deep]
    unpickle(pickle.dumps(deep), name="it")


# ---- what is refused -------------------------------------------------------------------------------------------------


class Calls:
    """Pickles as a call."""

    def __init__(self, *call, state=None):
        self.call = call if state is None else (*call, state)

    def __reduce__(self):
        return self.call


def refusal(content: bytes) -> str:
    with pytest.raises(EegfmError) as caught:
        unpickle(content, name="sub007.pkl")
    assert "sub007.pkl" in str(caught.value)
    return str(caught.value)


def dtype_of(code: str, *state) -> Calls:
    return Calls(np.dtype, (code, False, True), state=state)


def harmful(trace: str) -> dict[str, object]:
    return {
        "command": Calls(os.system, (f"touch {trace}",)),
        "eval": Calls(eval, (f"open({trace!r}, 'w')",)),
        "file": Calls(io.FileIO, (trace, "w")),
        "beside an array": {"sample": np.ones(3), "label": Calls(os.mkdir, (trace,))},
        "as a key": {Calls(os.mkdir, (trace,)): 1},
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("what", harmful(""))
def test_a_pickle_that_would_do_something_is_refused_and_does_nothing(tmp_path, what, protocol):
    trace = tmp_path / "trace"
    content = pickle.dumps(harmful(str(trace))[what], protocol=protocol)
    sentence = refusal(content)
    assert "asks for" in sentence and "nothing in a file is run" in sentence
    assert not trace.exists()
    with contextlib.suppress(Exception):
        pickle.loads(content)
    assert trace.exists(), "it does no harm to anyone: the test shows nothing"


REFUSED = {
    "a function": np.sum,
    "a class": dict,
    "an object": Fraction(1, 3),
    "a date": date(2020, 1, 1),
    "another container": OrderedDict(a=1),
    "a set": {1, 2},
    "an array of objects": np.array([1, "a", None], dtype=object),
    "an array of records": np.zeros(2, dtype=[("a", "f4"), ("b", "i2")]),
    "an array of dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "a masked array": np.ma.masked_array([1.0, 2.0], [True, False]),
    "an array only begun": Calls(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b")),
    "a dtype": np.dtype("f8"),
    "ndarray itself": np.ndarray,
    # bytes as addresses: records of objects that say that they are none
    "a dtype that lies": Calls(
        np._core.numeric._frombuffer,
        (b"\x41" * 8, dtype_of("V8", 3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0), (1,), "C"),
    ),
    "a dtype that grows": Calls(
        np._core.numeric._frombuffer,
        (b"\x41" * 8, dtype_of("f8", 3, "<", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0), (1,), "C"),
    ),
    "a shape too large": Calls(
        np._core.multiarray._reconstruct,
        (np.ndarray, (0,), b"b"),
        state=(1, (10**9, 10**9), np.dtype("f8"), False, b"12345678"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("protocol", [2, 5])
def test_what_is_no_array_in_plain_containers_is_refused(what, protocol):
    refusal(pickle.dumps(REFUSED[what], protocol=protocol))
    refusal(pickle.dumps({"sample": [REFUSED[what]]}, protocol=protocol))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cnumpy\ndtype\n}U\x05dtypeK\x01sb.",  # BUILD: sets attributes of what it is given
        b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__)s\x86b.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02cnumpy\nndarray\nK\x03\x85R.",
        b"\x80\x02cnumpy\ndtype\n)\x81.",  # NEWOBJ
        b"\x80\x02K\x01Q.",  # a persistent id
        b"\x80\x02\x82\x01.",  # the registry of extensions
        b"\x80\x05\x97.",  # a buffer from outside
        b"\x80\x02Pname\n.",
    ],
)
def test_opcodes_by_hand_reach_nothing(content):
    refusal(content)
    same(
        unpickle(pickle.dumps(np.arange(3.0), protocol=2), name="it"), np.arange(3.0)
    )  # nothing was changed


DOUBLED = b"K\x01\x85q\x00" + b"".join(bytes([*b"0h", i, *b"h", i, 0x86, *b"q", i + 1]) for i in range(40))
BOMBS = {  # Python itself would hash, print or make room for it, for longer than anybody waits
    "a tuple of 2**40 as a key": b"\x80\x02" + b"}" + DOUBLED + b"K\x01s.",
    "as keys": b"\x80\x02" + b"}(" + DOUBLED + b"K\x01u.",
    "as keys of protocol 0": b"(" + DOUBLED + b"K\x01d.",
    "in a set": b"\x80\x04" + b"\x8f(" + DOUBLED + b"\x90.",
    "in a frozen set": b"\x80\x04" + b"(" + DOUBLED + b"\x91.",
    "as the code of a dtype": b"\x80\x02cnumpy\ndtype\n" + DOUBLED + b"\x85R.",
    "as an encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + DOUBLED + b"\x86R.",
    "as what to call": b"\x80\x02" + DOUBLED + b")R.",
    "a length of 2**40": b"\x80\x05\x8e" + (2**40).to_bytes(8, "little") + b".",
    "a bytearray of 2**40": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "a frame of 2**40": b"\x80\x05\x95" + (2**40).to_bytes(8, "little") + b".",
    "numbers of one hash as keys": b"\x80\x02}(" + b"".join(
        b"\x8a\x0c" + (i * sys.hash_info.modulus).to_bytes(12, "little") + b"N" for i in range(100_000)
    ) + b"u.",
    "a name of a megabyte": b"\x80\x02c" + b"os" * 2**19 + b"\nsystem\n.",
    "a thousand copies of a megabyte": (
        b"\x80\x02c_codecs\nencode\nX" + (2**20).to_bytes(4, "little") + b"a" * 2**20
        + b"X\x06\x00\x00\x00latin1\x86q\x00R0" + b"c_codecs\nencode\nh\x00R" * 1000 + b"."
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_what_a_few_bytes_describe_without_end_is_refused_at_once_and_in_few_words(what):
    content = BOMBS[what]
    tracemalloc.start()
    began = time.process_time()
    sentence = refusal(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - began < 5 and peak < 8 * len(content) + 2**22 and len(sentence) < 600


def test_a_memo_is_as_long_as_what_is_in_it():
    """The unpickler in C makes 1.2 GB of room for these 16 bytes."""
    content = b"\x80\x02K\x01r" + (50_000_000).to_bytes(4, "little") + b"."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert unpickle(content, name="it") == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_damage_gives_a_sentence_or_plain_data(data):
    content = bytearray(
        pickle.dumps(
            {"a": np.arange(6.0).reshape(2, 3), "b": ["x", 1]},
            protocol=data.draw(st.sampled_from(PROTOCOLS)),
        )
    )
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpickle(bytes(content), name="it")
    except EegfmError as error:
        assert "it " in str(error)
    else:
        pickle.dumps(found)


@pytest.mark.parametrize("content", [b"", b".", b"<!DOCTYPE html>", bytes(100), b"\x80\x04"])
def test_what_is_no_pickle_is_named(tmp_path, content):
    path = tmp_path / "sub000.pkl"
    path.write_bytes(content)
    with pytest.raises(EegfmError, match=r"sub000\.pkl cannot be read as a pickle.*Fetch the file again"):
        read_pickled(path)


def test_a_file_cut_short_is_named(tmp_path):
    path = tmp_path / "sub000.pkl"
    content = pickle.dumps(np.ones((20, 30)))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EegfmError, match=r"sub000\.pkl cannot be read as a pickle"):
        read_pickled(path)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_pickled(path), np.ones((20, 30)))
