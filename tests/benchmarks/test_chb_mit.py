"""CHB-MIT: the reference's windows and labels by plain NumPy and SciPy, summaries in all their forms, one patient."""

import re
from collections import Counter
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
import scipy.signal

from eegfm.benchmarks.chb_mit import CASES, CHANNELS, chb_mit
from eegfm.benchmarks.chb_mit_summary import read_summary
from eegfm.benchmarks.spec import BenchmarkSpec, LeftOut, Source
from eegfm.contracts import EegfmError
from eegfm.data.census import leakage
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from eegfm.signal.steps import BandPass
from tests.corpora.chb_mit import NEW, TABLE, File, repaired, summary, write

PUBLISHED, REPAIRED = chb_mit(variant="published"), chb_mit(variant="repaired")
BOTH = pytest.mark.parametrize("benchmark", [PUBLISHED, REPAIRED], ids=["published", "repaired"])


def made(root: Path, *files: File) -> Path:
    write(root, list(files), windows=repaired)
    return root


def source_of(benchmark: BenchmarkSpec, root: Path, recording: str) -> Source:
    return next(source for source in benchmark.sources(root) if source.recording == recording)


def labels(benchmark: BenchmarkSpec, root: Path, recording: str) -> list[int]:
    return process(benchmark, source_of(benchmark, root, recording), benchmark.steps)[1].label.tolist()


# ---- processing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        File("chb09_08", 65, ((5, 9), (34, 58)), "dummies"),
        File(
            "chb23_06", 47, ((1, 3), (30, 47))
        ),  # begins in the first second; ends with the file, which is stretched
        File("chb22_77", 25, ((20, 24),), "once"),
        File("chb01_46", 30),
    ],
    ids=lambda file: file.recording,
)
def test_every_published_window_and_label_is_the_references(tmp_path, file):
    source = source_of(PUBLISHED, made(tmp_path, file), file.recording)
    windows, index = process(PUBLISHED, source, PUBLISHED.steps)

    signals: dict[str, np.ndarray] = {}
    for one in edfio.read_edf(source.path).signals:
        signals.setdefault(one.label, one.data)  # the first of a name
    signal = np.array([signals[name] for name in CHANNELS])
    times = [(256 * start - 1, 256 * end - 1) for start, end in file.seizures]
    expected, wanted, starts = [], [], []
    for i in range(0, signal.shape[1], 2560):
        if signal[:, i : i + 2560].shape[1] == 2560:
            expected.append(signal[:, i : i + 2560])
            wanted.append(int(any(i < start < i + 2560 or i < end < i + 2560 for start, end in times)))
            starts.append(i)
    for start, end in times:
        for i in range(max(0, start - 256), min(end + 256, signal.shape[1]), 1280):
            expected.append(signal[:, i : i + 2560])
            wanted.append(1)
            starts.append(i)
    if file.recording == "chb23_06":
        assert {part.shape[1] for part in expected} > {2560} and 0 in starts[4:]
    expected = [scipy.signal.resample(part, 2000, axis=1) for part in expected]
    assert len(windows) == len(expected) and index.label.tolist() == wanted
    assert index.onset_s.tolist() == [i / 256 for i in starts]
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)


def test_every_repaired_window_and_label_is_of_the_whole_recording_resampled(tmp_path):
    source = source_of(
        REPAIRED, made(tmp_path, File("chb09_08", 65, ((5, 9), (34, 58)), "dummies")), "chb09_08"
    )
    windows, index = process(REPAIRED, source, REPAIRED.steps)
    raw = mne.io.read_raw_edf(source.path, preload=True, verbose="error").resample(200, verbose="error")
    signal = raw.get_data(picks=["T8-P8-0" if name == "T8-P8" else name for name in CHANNELS], units="uV")
    expected = signal[:, :12000].reshape(16, 6, 2000).swapaxes(0, 1)
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert index.label.tolist() == [1, 0, 0, 1, 1, 1]
    assert index.onset_s.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_filters_may_be_put_before_the_published_cutting(tmp_path):
    root = made(tmp_path, File("chb01_03", 45, ((14, 31),)))
    source = source_of(PUBLISHED, root, "chb01_03")
    steps = (BandPass(low=0.5, high=45), *PUBLISHED.steps)
    assert process(PUBLISHED, source, steps)[1].label.tolist() == labels(PUBLISHED, root, "chb01_03")


# ---- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seizure", "published", "repaired"),
    [
        ((13, 46), [0, 1, 0, 0, 1, 0], [0, 1, 1, 1, 1, 0]),  # in the midst of a long seizure
        (
            (20, 25),
            [0, 1, 1, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
        ),  # it begins on the border: one sample before, by the reference
        ((23, 30), [0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]),  # it ends on the border
        ((19, 21), [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0]),
    ],
)
def test_when_a_window_is_of_a_seizure(tmp_path, seizure, published, repaired):
    root = made(tmp_path, File("chb01_03", 60, (seizure,)))
    assert labels(PUBLISHED, root, "chb01_03")[:6] == published
    assert labels(REPAIRED, root, "chb01_03") == repaired


@pytest.mark.parametrize("recording", ["chb01_03", "chb22_20", "chb24_01"])
def test_published_has_further_windows_of_seizures_in_every_split_and_repaired_in_none(tmp_path, recording):
    root = made(tmp_path, File(recording, 60, ((13, 46),)))
    further = labels(PUBLISHED, root, recording)[6:]
    assert further == [1] * 7  # from 12 to 47 s, every five
    assert len(labels(REPAIRED, root, recording)) == 6


def test_a_seizure_behind_the_end_of_the_file_is_refused(tmp_path):
    root = made(tmp_path, File("chb02_19", 30, ((3, 5),)))
    path = root / "chb02" / "chb02-summary.txt"
    path.write_text(path.read_text().replace(" 3 ", " 3369 ").replace(" 5 ", " 3378 "))
    with pytest.raises(
        EegfmError, match=r"chb02-summary\.txt tells of a seizure at 3369 s of chb02_19\.edf, which is 30"
    ):
        labels(REPAIRED, root, "chb02_19")


# ---- summaries -------------------------------------------------------------------------------------------------------

HEAD = """Data Sampling Rate: 256 Hz
*************************

Channels in EDF Files:
**********************
Channel 1: FP1-F7
Channel 2: F7-T7

"""
ONE = """File Name: chb01_03.edf
File Start Time: 13:43:04
File End Time: 14:43:04
Number of Seizures in File: 1
Seizure Start Time: 2996 seconds
Seizure End Time: 3036 seconds
"""
NONE = """File Name: chb01_01.edf
File Start Time: 11:42:54
File End Time: 12:42:54
Number of Seizures in File: 0
"""
NUMBERED = """File Name: chb12_27.edf
File Start Time: 23:54:31
File End Time: 24:54:31
Number of Seizures in File: 2
Seizure 1 Start Time: 916 seconds
Seizure 1 End Time:  951 seconds
Seizure 2 Start Time:  1097 seconds
Seizure 2 End Time: 1124 seconds
"""
MISNUMBERED = NUMBERED.replace("Seizure 2 End", "Seizure 1 End")
UNTIMED = """File Name: chb24_01.edf
Number of Seizures in File: 2
Seizure Start Time: 480 seconds
Seizure End Time: 505 seconds
Seizure Start Time: 2451 seconds
Seizure End Time: 2476 seconds
"""
TWO = [(916, 951), (1097, 1124)]


def written(folder: Path, text: str) -> Path:
    path = folder / "chb00-summary.txt"
    path.write_text(text, newline="")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + NONE + "\n" + ONE, {"chb01_01.edf": [], "chb01_03.edf": [(2996, 3036)]}),
        (
            ONE + "\nChannels changed:\nChannel 1: -\n\n" + NUMBERED,
            {"chb01_03.edf": [(2996, 3036)], "chb12_27.edf": TWO},
        ),
        (MISNUMBERED, {"chb12_27.edf": TWO}),
        (UNTIMED, {"chb24_01.edf": [(480, 505), (2451, 2476)]}),
        (ONE.replace("\n", "\r\n"), {"chb01_03.edf": [(2996, 3036)]}),
        (ONE.replace("\n", "  \n\n\n").replace("Name: ", "Name:\t"), {"chb01_03.edf": [(2996, 3036)]}),
        (NONE.replace("01_01", "02_16+"), {"chb02_16+.edf": []}),
    ],
    ids=["plain", "numbered", "misnumbered", "untimed", "windows", "spaces", "plus"],
)
def test_summaries_of_every_form_are_read(tmp_path, text, expected):
    assert read_summary(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'is no summary: it has no line "File Name: ..."'),
        ("<!DOCTYPE html><html>Please log in</html>", "is no summary"),
        (ONE.replace("File: 1", "File: 2"), "declares 2 seizures for chb01_03.edf and tells of 1"),
        (NUMBERED.replace("File: 2", "File: 0"), "declares 0 seizures for chb12_27.edf and tells of 2"),
        (
            ONE.replace("Number of Seizures in File: 1\n", ""),
            "declares no number of seizures for chb01_03.edf",
        ),
        (
            ONE.replace("Seizure End Time: 3036 seconds\n", ""),
            "do not start and end in turn (start 2996 s)",
        ),
        (NUMBERED.replace("1 End Time:  951", "1 Start Time: 951"), "do not start and end in turn"),
        (ONE.replace("3036", "2990"), "do not start and end in turn (start 2996 s, end 2990 s)"),
        (
            ONE.replace("2996 seconds", "49:56"),
            "line 5, is no moment of a seizure: 'Seizure Start Time: 49:56'",
        ),
        (ONE.replace("2996 seconds", ""), "line 5, is no moment of a seizure: 'Seizure Start Time:'"),
        ("Seizure Start Time: 2 seconds\n" + ONE, "line 1, is no moment of a seizure"),
        (ONE + ONE, "lists chb01_03.edf twice (line 7)"),
    ],
)
def test_a_summary_that_does_not_add_up_is_refused(tmp_path, text, message):
    with pytest.raises(EegfmError, match=re.escape(message)) as caught:
        read_summary(written(tmp_path, text))
    assert "chb00-summary.txt" in str(caught.value)


def test_only_of_chb24_a_file_that_the_summary_does_not_list_has_no_seizures(tmp_path):
    root = made(tmp_path, File("chb24_01", 30, ((3, 5),)), File("chb24_05", 20), File("chb23_06", 20))
    assert "chb24_05" not in (root / "chb24" / "chb24-summary.txt").read_text()
    assert labels(REPAIRED, root, "chb24_05") == [0, 0]
    (root / "chb23" / "chb23-summary.txt").write_text(summary("chb23", [File("chb23_07", 20)]))
    with pytest.raises(
        EegfmError, match=r"chb23-summary\.txt does not list chb23_06\.edf, so its seizures are not known"
    ):
        labels(REPAIRED, root, "chb23_06")


# ---- files -----------------------------------------------------------------------------------------------------------

N_FILES = "42 36 38 42 39 18 19 20 19 25 35 24 33 26 40 19 21 36 30 29 33 31 9 22"
# case, reference file, first and last number: the list that the reference works through
REFERENCE = """01 01 2 46, 02 01 2 35, 03 01 2 38, 05 01 2 39, 06 01 2 24, 07 01 2 19, 08 02 3 29, 10 01 2 89,
    11 01 2 99, 14 01 2 42, 20 01 2 68, 21 01 2 33, 22 01 2 77, 23 06 7 20, 24 01 3 21, 04 07 1 43, 09 02 1 19,
    15 02 1 63, 16 01 2 19, 18 02 1 36, 19 02 1 30"""


def test_the_files_are_as_many_as_the_corpus_has(tmp_path):
    """664 by its page, which does not count chb24; 686 in its list of records."""
    sources = REPAIRED.sources(tmp_path)
    found = Counter(source.session for source in sources)
    assert [found[case] for case in CASES] == list(map(int, N_FILES.split()))
    assert len(sources) == len({s.recording for s in sources}) == REPAIRED.census.recordings == 686
    assert len(sources) - found["chb24"] == 664
    names = {source.path.relative_to(tmp_path).as_posix() for source in sources}
    assert {
        "chb01/chb01_01.edf",
        "chb02/chb02_16+.edf",
        "chb17/chb17c_13.edf",
        "chb24/chb24_22.edf",
    } < names
    assert {source.beside for source in sources} == {
        (tmp_path / case / f"{case}-summary.txt",) for case in CASES
    }


def test_the_published_files_are_those_that_the_reference_works_through(tmp_path):
    there = {source.recording for source in REPAIRED.sources(tmp_path)}
    expected = set()
    for case, first, start, stop in map(str.split, REFERENCE.split(",")):
        numbers = {int(first), *range(int(start), int(stop) + 1)}
        expected |= {f"chb{case}_{number:02d}" for number in numbers} & there
    assert {source.recording for source in PUBLISHED.sources(tmp_path)} == expected
    assert len(expected) == PUBLISHED.census.recordings == 605


def test_the_archives_own_folder_is_found(tmp_path):
    folder = tmp_path / "chb-mit-scalp-eeg-database-1.0.0"
    folder.mkdir()
    assert source_of(REPAIRED, tmp_path, "chb01_01").path == folder / "chb01" / "chb01_01.edf"


@BOTH
def test_chb21_is_the_patient_of_chb01(tmp_path, benchmark):
    split = {source.session: source.split for source in benchmark.sources(tmp_path)}
    assert {s.session for s in benchmark.sources(tmp_path) if s.subject == "chb01"} == {"chb01", "chb21"}
    assert split["chb21"] == split["chb22"] == "val" and split["chb23"] == split["chb24"] == "test"
    assert split["chb01"] == ("train" if benchmark is PUBLISHED else "val")
    assert {split[case] for case in split.keys() - {"chb01", "chb21", "chb22", "chb23", "chb24"}} == {
        "train"
    }


@BOTH
def test_only_the_published_split_leaks_and_it_says_so(tmp_path, benchmark):
    root = tmp_path / "raw"
    root.mkdir()
    made(root, *TABLE)
    store = prepare(benchmark, root, tmp_path / "cache", allow_partial=True, progress=False)
    shared = leakage(store.index, benchmark.window_s).shared_subjects
    assert shared == ({"chb01": ["train", "val"]} if benchmark is PUBLISHED else {})
    assert ("chb21" in benchmark.subject_leak) == (benchmark is PUBLISHED)


def test_a_file_without_the_rows_is_left_out_with_its_reason_and_is_no_fault(tmp_path):
    root = tmp_path / "raw"
    root.mkdir()
    files = (
        File("chb12_06", 20),
        File("chb12_27", 30, ((4, 10),), "CS2"),
        File("chb12_29", 20, (), "bare"),
    )
    made(root, *files)
    with pytest.raises(LeftOut, match="lacks 16 of the 16 rows"):
        REPAIRED.read(source_of(REPAIRED, root, "chb12_27"))
    store = prepare(REPAIRED, root, tmp_path / "cache", allow_partial=True, progress=False)
    assert set(store.index.recording.tolist()) == {"chb12_06"} and not store.manifest.unusable
    assert [left["recording"] for left in store.manifest.left_out] == ["chb12_27", "chb12_29"]
    assert "It has FP1-CS2, F7-CS2" in store.manifest.left_out[0]["reason"]


def test_bytes_behind_the_end_pass_in_the_one_file_that_is_known_to_have_them(tmp_path):
    root = made(tmp_path, File("chb17b_69", 20), File("chb17b_68", 20))
    assert len(labels(REPAIRED, root, "chb17b_69")) == 2
    with (root / "chb17" / "chb17b_68.edf").open("ab") as file:
        file.write(bytes(256))
    with pytest.raises(EegfmError, match=r"chb17b_68\.edf is longer than its header says"):
        labels(REPAIRED, root, "chb17b_68")


def test_the_rows_have_places_and_both_ends():
    assert CHANNELS[6] == "T8-P8" and set(CHANNELS) < set(NEW)
    assert np.isfinite(REPAIRED.montage.coords).all() and REPAIRED.montage.ends.shape == (16, 2, 3)
