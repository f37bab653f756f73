"""Where values lie in a file that LMDB wrote: what is read there is what LMDB finds."""

import struct

import lmdb
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.data import values
from eegfm.data.checksums import Checksums
from eegfm.data.values import Values, checksums_of, stored_values, write_values

SIZES = {"in the pages of keys": (5, 3000), "of one page": (2500, 300), "of three": (11000, 300)}


def written(path, n_bytes: int, n: int, part: int) -> tuple[np.ndarray, Checksums]:
    x = np.random.default_rng(0).integers(0, 256, (n, n_bytes)).astype(np.uint8)
    parts = (x[start : start + part] for start in range(0, n, part))
    sums = write_values(path, parts, n, n_bytes, x.dtype)
    return x, checksums_of(path, sums, index=0, recipe=0)


@pytest.mark.parametrize(
    "part", [1, 7, 3000]
)  # each is a transaction, and leaves pages for the next to use again
@pytest.mark.parametrize("kind", SIZES)
def test_values_are_read_as_lmdb_finds_them(tmp_path, kind, part):
    n_bytes, n = SIZES[kind]
    x, sums = written(tmp_path / "samples.mdb", n_bytes, n, part)
    assert [bytes(one) for one in stored_values(tmp_path / "samples.mdb", n)] == [bytes(one) for one in x]
    opened = Values(tmp_path / "samples.mdb", sums, n_bytes)
    rows = np.random.default_rng(1).integers(0, n, 200)
    for _ in ("found and checked", "read again"):
        found, wrong = opened.read(rows)
        np.testing.assert_array_equal(found, x[rows])
        assert not wrong and found.flags.c_contiguous and found.flags.writeable


def test_a_file_of_other_values_than_the_index_names_is_a_sentence(tmp_path):
    path = tmp_path / "samples.mdb"
    _, sums = written(path, 2500, 30, 7)
    with pytest.raises(
        EegfmError, match=r"samples\.mdb is damaged: it has 30 values, not all of 2400 bytes"
    ):
        Values(path, sums, 2400).open()
    fewer = Checksums(**{**vars(sums), "values": sums.values[:20]})
    with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: it has 30 values for 20 rows"):
        Values(path, fewer, 2500).open()
    path.unlink()
    with lmdb.open(str(path), subdir=False) as environment, environment.begin(write=True) as transaction:
        for key in (0, 2):
            transaction.put(struct.pack(">Q", key), bytes(2500))
    other = checksums_of(path, sums.values[:2], index=0, recipe=0)
    with pytest.raises(EegfmError, match="or not of the rows in turn"):
        Values(path, other, 2500).open()
    assert str(path) not in values._OPENED
