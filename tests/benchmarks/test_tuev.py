"""TUEV: windows and labels of both variants against the protocol written out in MNE and NumPy, and what each loses."""

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eegfm.benchmarks.spec import LeftOut, Source
from eegfm.benchmarks.tuev import CLASSES, PER_SPLIT, published_windows, read_rec, repaired_windows, tuev
from eegfm.benchmarks.tuh import ROWS
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording
from eegfm.signal.steps import WrapEnds
from eegfm.signal.windows import cut
from tests.corpora.tuev import EVENTS, RATES, SECONDS, Event, File, write

PUBLISHED, REPAIRED = tuev(variant="published"), tuev(variant="repaired")
DENSE = tuple(Event(i % 22, start, code=1 + i % 6) for i, start in enumerate(range(0, 188, 11)))


def one(root: Path, file: File) -> Source:
    """A corpus of one file."""
    write(root, [file], variant="published")
    (source,) = PUBLISHED.sources(root)
    return source


def of_the_protocol(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The whole file in bipolar rows at 200 Hz, in microvolts, and its times; every channel of the file is filtered."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    raw.resample(200, verbose="error")
    raw.filter(0.3, 75, verbose="error")
    raw.notch_filter(60, verbose="error")
    data = dict(zip(raw.ch_names, raw.get_data(units="uV"), strict=True))
    pairs = [row.split("-") for row in ROWS]
    return np.stack([data[f"EEG {a}-REF"] - data[f"EEG {b}-REF"] for a, b in pairs]), raw.times


def of_the_reference(
    data: np.ndarray, times: np.ndarray, starts_stops: np.ndarray
) -> list[np.ndarray] | None:
    """Five seconds about each event on three copies of the signal; None where anything about one of them fails."""
    n, found = data.shape[1], []
    tripled = np.tile(data, 3)
    for start_s, stop_s in starts_stops:
        after_start, after_stop = np.flatnonzero(times >= start_s), np.flatnonzero(times >= stop_s)
        if not len(after_start) or not len(after_stop):
            return None
        window = tripled[:, n + after_start[0] - 400 : n + after_stop[0] + 400]
        if window.shape[1] != 1000:
            return None
        found.append(window)
    return found


# ---- the protocol ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
def test_every_published_window_and_label_is_the_references(tmp_path, rate):
    source = one(tmp_path, File("train/aaaaaaar", "aaaaaaar_00000001", DENSE, rate))
    windows, index = process(PUBLISHED, source, PUBLISHED.steps)
    table = np.genfromtxt(source.path.with_suffix(".rec"), delimiter=",")
    expected = of_the_reference(*of_the_protocol(source.path), table[:, 1:3])
    assert windows.shape == (18, 16, 1000) and windows.dtype == np.float32
    np.testing.assert_allclose(windows, np.stack(expected), rtol=0, atol=1e-4)
    assert index.label.tolist() == (table[:, 3] - 1).astype(int).tolist() and set(index.label) == set(
        range(6)
    )


@pytest.mark.parametrize("rate", RATES)
def test_every_repaired_window_is_the_files_own_five_seconds(tmp_path, rate):
    source = one(tmp_path, File("train/aaaaaaar", "aaaaaaar_00000001", DENSE, rate))
    windows, index = process(REPAIRED, source, REPAIRED.steps)
    data, _ = of_the_protocol(source.path)
    inside = [event for event in DENSE if 2 <= event.start / 10 and event.start / 10 + 3 <= SECONDS]
    assert 0 < len(inside) < len(DENSE)
    expected = [data[:, 20 * event.start - 400 : 20 * event.start + 600] for event in inside]
    np.testing.assert_allclose(windows, np.stack(expected), rtol=0, atol=1e-4)
    assert index.label.tolist() == [event.code - 1 for event in inside]
    assert index.onset_s.tolist() == pytest.approx([event.start / 10 - 2 for event in inside], abs=1e-12)


def made(data: np.ndarray) -> Recording:
    return Recording(data, 200.0, montage_of(ROWS[: len(data)]))


def rec(folder: Path, rows) -> Source:
    """A source whose `.rec` has the given rows: start, stop and code."""
    path = folder / "aaaaaaar_00000001.rec"
    path.write_text("".join(f"3,{start!r},{stop!r},{code}\n" for start, stop, code in rows))
    return Source(
        "aaaaaaar", "train-aaaaaaar-aaaaaaar_00000001", "train", path.with_suffix(".edf"), beside=(path,)
    )


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(
    n=st.one_of(st.integers(300, 420), st.integers(200, 1500)),  # 334 to 400: some events fit, some do not
    rows=st.lists(
        st.tuples(
            st.integers(0, 80),
            st.sampled_from([10] * 8 + [9, 11, 0]),
            st.sampled_from([0.0] * 6 + [0.004, 0.0026]),
        ),
        min_size=2,
        max_size=3,
    ),
)
@example(n=350, rows=[(7, 10, 0.0)] * 2)  # behind the third copy
@example(n=350, rows=[(0, 10, 0.0)] * 2)  # before the first
@example(n=380, rows=[(5, 10, 0.0)] * 2)  # fits, over two seams
def test_the_index_arithmetic_is_the_references_to_the_sample(tmp_path_factory, n, rows):
    """Files down to a second, events at and behind their ends, times between samples: either the same samples, or both
    lose the file."""
    starts_stops = [(start / 10 + off, (start + length) / 10 + off) for start, length, off in rows]
    data = np.arange(2.0 * n).reshape(2, n)
    expected = of_the_reference(data, np.arange(n) / 200, np.array(starts_stops))
    source = rec(tmp_path_factory.getbasetemp(), [(*times, 1) for times in starts_stops])
    wrapped = WrapEnds(2.0)(made(data))
    if expected is None:
        with pytest.raises(LeftOut):
            published_windows(wrapped, source)
        return
    found = [cut(wrapped, window.onset_s, 5.0) for window in published_windows(wrapped, source)]
    np.testing.assert_array_equal(found, expected)


def test_the_published_windows_need_their_last_step(tmp_path):
    with pytest.raises(EegfmError, match=r"need WrapEnds\(seconds=2\.0\) as the last step"):
        published_windows(made(np.zeros((2, 4000))), rec(tmp_path, [(5.0, 6.0, 1), (7.0, 8.0, 1)]))


# ---- what is lost ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (
            File("train/aaaaaaas", "aaaaaaas_00000001", EVENTS, lacks="T5"),
            r"lacks 1 of the 16 electrodes \(EEG T5-REF\)",
        ),
        (
            File("train/aaaaaaas", "aaaaaaas_00000001", EVENTS, reference="LE"),
            "lacks 16 of the 16 electrodes",
        ),
        (File("train/aaaaaaas", "aaaaaaas_00000001", EVENTS[:1]), "has one row only"),
        (
            File("train/aaaaaaas", "aaaaaaas_00000001", (*EVENTS, Event(3, 70, 12))),
            "240 samples long, not 200",
        ),
        (File("train/aaaaaaas", "aaaaaaas_00000001", (*EVENTS, Event(3, 190))), "behind the last sample"),
    ],
    ids=["electrode", "linked ears", "one row", "not a second", "ends with the file"],
)
def test_the_published_protocol_loses_the_whole_file_and_says_so(tmp_path, lost, why):
    """The other recordings are kept, the store counts as complete, and the repaired variant keeps what is good."""
    files = [File("train/aaaaaaar", "aaaaaaar_00000001", EVENTS), lost]
    write(tmp_path / "raw", files, variant="published")
    whole = replace(PUBLISHED, census=replace(PUBLISHED.census, recordings=2, windows=3, per_split=None))
    store = prepare(whole, tmp_path / "raw", tmp_path / "cache", progress=False)
    assert store.complete and set(store.index.recording) == {files[0].recording}
    (left_out,) = store.manifest.left_out
    assert left_out["recording"] == lost.recording
    with pytest.raises(LeftOut, match=why):
        process(PUBLISHED, PUBLISHED.sources(tmp_path / "raw")[1], PUBLISHED.steps)
    source = REPAIRED.sources(tmp_path / "raw")[1]
    if lost.lacks:
        with pytest.raises(LeftOut, match=why):
            process(REPAIRED, source, REPAIRED.steps)
    else:
        good = [e for e in lost.events if e.length == 10 and e.start + 30 <= 10 * SECONDS]
        assert len(process(REPAIRED, source, REPAIRED.steps)[0]) == len(good) > 0


@pytest.mark.parametrize(
    ("codes", "kept"),
    [
        ([2], 2),
        ([2] * 16, 2),
        ([6, 6], 6),
        ([6, 1, 6, 6], 1),
        ([1, 5], None),
        ([6, 1, 5], None),
        ([4, 6, 4], 4),
    ],
)
def test_a_second_on_several_rows_is_one_window_under_the_label_that_is_no_background(
    tmp_path, codes, kept
):
    """Published: a window a row, whatever the rows say. Repaired: one, or none where two classes contend."""
    data = np.random.default_rng(0).standard_normal((2, 4000))
    source = rec(tmp_path, [(8.0, 9.0, code) for code in codes] + [(12.0, 13.0, 6)])
    all_of_them = published_windows(WrapEnds(2.0)(made(data)), source)
    assert [w.label + 1 for w in all_of_them] == [*codes, 6]
    assert {w.onset_s for w in all_of_them[:-1]} == {6.0}
    found = [(w.onset_s, w.label + 1) for w in repaired_windows(made(data), source)]
    assert found == ([(6.0, kept)] if kept else []) + [(10.0, 6)]


@pytest.mark.parametrize(
    ("start", "kept"),
    [(1.9, False), (2.0, True), (17.0, True), (17.1, False), (19.0, False), (25.0, False)],
)
def test_a_repaired_window_never_leaves_the_file(tmp_path, start, kept):
    source = rec(tmp_path, [(start, start + 1, 1), (9.0, 10.0, 6)])
    assert len(repaired_windows(made(np.zeros((2, 4000))), source)) == 1 + kept


def test_a_file_without_one_good_event_is_left_out_with_its_reason(tmp_path):
    source = rec(tmp_path, [(0.0, 1.0, 1), (9.0, 10.5, 6), (9.0, 10.0, 1), (9.0, 10.0, 2)])
    with pytest.raises(LeftOut, match=r"aaaaaaar_00000001\.rec: none of its 4 events"):
        repaired_windows(made(np.zeros((2, 4000))), source)


# ---- .rec files ------------------------------------------------------------------------------------------------------


def test_rows_are_read_as_they_stand(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(b"13,90.4,91.4,6\r\n0,0,1,1\r\n\r\n")
    assert read_rec(path) == [(90.4, 91.4, 5), (0.0, 1.0, 0)]
    assert CLASSES[0] == "spike and slow wave" and CLASSES[5] == "background"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"1,2.0,3.0,6\n1,2.0,3.0\n", "line 2: '1,2.0,3.0' is not"),
        (b"1,2.0,3.0,6,6\n", "line 1"),
        (b"1,2.0,3.0,7\n", "a code from 1 to 6"),
        (b"1,2.0,3.0,0\n", "line 1"),
        (b"1,2.0,3.0,1.5\n", "line 1"),
        (b"1,nan,3.0,1\n", "line 1"),
        (b"1,2.0,three,1\n", "line 1"),
        (b"0 100000 bckg\n", "line 1"),
        (b"", "holds no event"),
        (b"\n \n", "holds no event"),
        (b"\xff\xfe\x00\x81", "cannot be read as a table of events"),
    ],
)
def test_what_is_no_table_of_events_is_refused_by_name_and_line(tmp_path, content, line):
    path = tmp_path / "a.rec"
    path.write_bytes(content)
    with pytest.raises(EegfmError, match=rf"a\.rec.*{line}"):
        read_rec(path)
    path.unlink()
    with pytest.raises(EegfmError, match=r"a\.rec cannot be read.*No such file"):
        read_rec(path)


# ---- recordings and splits -------------------------------------------------------------------------------------------


def tree(root: Path, names) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(("n", "n_train"), [(1, 0), (2, 1), (4, 3), (5, 4), (10, 8), (290, 232)])
def test_the_first_80_percent_of_the_patients_train(tmp_path, n, n_train):
    patients = [f"aaaaa{chr(97 + i // 26)}{chr(97 + i % 26)}a" for i in range(n)]
    tree(tmp_path / "edf", [f"train/{p}/{p}_0000000{k}.edf" for p in patients[::-1] for k in (1, 2)])
    tree(tmp_path / "edf", ["eval/000/bckg_000_a_.edf", "eval/031/spsw_031_a_12.edf"])
    sources = REPAIRED.sources(tmp_path)
    split_of = {source.subject: source.split for source in sources}
    assert [p for p in patients if split_of[p] == "train"] == patients[:n_train]
    assert [p for p in patients if split_of[p] == "val"] == patients[n_train:]
    assert {s: split for s, split in split_of.items() if s not in patients} == {
        "000": "test",
        "031": "test",
    }
    assert len(sources) == 2 * n + 2 and sources == PUBLISHED.sources(tmp_path)


def test_recordings_keep_apart_whatever_their_stems(tmp_path):
    names = [
        "train/aaaaaaar/aaaaaaar_00000001",
        "train/b/aaaaaaar_00000001",
        "eval/1/bckg_001_a_",
        "eval/2/bckg_001_a_",
    ]
    tree(tmp_path, [f"{name}.edf" for name in names])
    sources = REPAIRED.sources(tmp_path)
    assert len({source.recording for source in sources}) == 4
    assert [source.subject for source in sources] == ["aaaaaaar", "aaaaaaar", "001", "001"]
    assert [source.beside for source in sources] == [(tmp_path / f"{name}.rec",) for name in names]


def test_an_edition_is_found_by_its_folder(tmp_path):
    for edition, patient in (("2.0.0", "aaaaaaaa"), ("2.0.1", "aaaaaaab")):
        tree(tmp_path / f"v{edition}" / "edf", [f"train/{patient}/{patient}_00000001.edf"])
        tree(
            tmp_path / "x" / "tuh_eeg_events" / f"v{edition}" / "edf",
            [f"train/{patient}/{patient}_00000001.edf"],
        )
    for root in (tmp_path, tmp_path / "x"):
        assert [source.subject for source in tuev(edition="2.0.0").sources(root)] == ["aaaaaaaa"]
        assert [source.subject for source in tuev(edition="2.0.1").sources(root)] == ["aaaaaaab"]
    assert tuev().sources(tmp_path / "nothing") == []


# ---- facts -----------------------------------------------------------------------------------------------------------


def test_the_census_is_the_published_one_of_each_edition():
    """Table 0.2 of the protocols: 2.0.0 is the 112,491 that both papers state; test is the same in both editions."""
    assert sum(PER_SPLIT["2.0.0"].values()) == 112_491 and sum(PER_SPLIT["2.0.1"].values()) == 113_353
    assert PER_SPLIT["2.0.0"]["test"] == PER_SPLIT["2.0.1"]["test"] == 29_421
    for edition, counts in PER_SPLIT.items():
        census = tuev(edition=edition, variant="published").census
        assert census.per_split == counts and census.recordings == 359 + 159
        assert tuev(edition=edition, variant="repaired").census.windows is None


def test_every_row_lies_between_its_electrodes():
    montage = REPAIRED.montage
    assert montage.names == ROWS and montage.ends.shape == (16, 2, 3) and np.isfinite(montage.ends).all()
    np.testing.assert_allclose(montage.coords, montage.ends.mean(axis=1))
    left = [i for i, row in enumerate(ROWS) if int(row[-1]) % 2]
    assert (montage.coords[left, 0] < 0).all() and len(left) == 8
