"""What `make bench ARGS=checked` compares is the same reading: with checks that are made once, and without."""

import numpy as np

from eegfm.data import values
from tests.bench import checked_store as bench


def test_the_reading_without_checks_is_the_same_and_only_the_first_epoch_checks(tmp_path, monkeypatch):
    store = bench.made(tmp_path / "store", (4, 300), "float32", 150)
    none, first, later = bench.epochs(store).values()
    copy = tmp_path / "plain.mdb"
    copy.write_bytes((store.folder / values.FILE).read_bytes())
    rows = np.array([3, 149, 3])
    np.testing.assert_array_equal(bench.plain(copy, store)(rows), store.read(rows))
    counted, sum_of = [], values.sum_of
    monkeypatch.setattr(values, "sum_of", lambda value: counted.append(1) or sum_of(value))
    for work, wanted in ((none, 0), (first, 150), (later, 0), (first, 150)):
        counted.clear()
        work()
        assert len(counted) == wanted


def test_the_tables_are_printed_in_small(capsys, monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", {"small": ((4, 300), "float32", 150)})
    bench.reading(runs=1)
    bench.loading(runs=1)
    bench.opening(n=200)
    said = capsys.readouterr().out
    assert "the first epoch" in said and "index, recipe and checksums" in said
    assert np.isfinite(float(said.split("of values, ")[1].split()[0]))
