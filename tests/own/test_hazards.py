"""Everything that is wrong in somebody's own folder is a sentence: what and where it is, and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.data.verifying.verify import verify
from tests.corpus import CHANNELS
from tests.own.folder import GROUPS, PEOPLE, declared, folder, prepared, signal, write


@pytest.fixture
def root(tmp_path) -> Path:
    return folder(tmp_path / "raw")


def of_groups(**changes: Any) -> Any:
    return declared(
        **{
            "files": "{subject}/*.edf", "labels": GROUPS, "classes": {"well": "well", "sick": "sick"}, **changes,
        }
    )  # fmt: skip


BY_FILE = {"file": "files.csv", "key": "file", "by": "file", "column": "class"}


def rows(root: Path, *lines: str, name: str = "people.csv", header: str = "person,group") -> None:
    (root / name).write_text("\n".join([header, *lines]) + "\n")


def files_table(root: Path, change: Callable[[list[str]], list[str]] = lambda lines: lines) -> None:
    lines = [f"{person}/{label}.edf,{label}" for person in PEOPLE for label in ("rest", "task")]
    rows(root, *change(lines), name="files.csv", header="file,class")


# ---- what files are called, and where they are -----------------------------------------------------------------------


def test_square_brackets_are_themselves(tmp_path):
    root = tmp_path / "raw"
    for person in PEOPLE[:3]:
        write(root, f"{person}/record-[2012.07.06-19.02.16].edf")
        write(root, f"{person}/other.edf")
    made = declared(files="{subject}/record-[*].edf", labels=None, classes=None)
    assert [source.recording for source in made.sources(root)] == [
        f"{person}-record-[2012.07.06-19.02.16]" for person in PEOPLE[:3]
    ]
    assert prepared(made, root).complete


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"files": "{label}-{subject}/*.set"}, "files: {label}-{subject}/*.set matches none of the 13 files below "
         "{root}. There are 12 .edf, 1 .csv, such as S1/rest.edf, S1/task.edf, S2/rest.edf and 10 more."),
        ({"leave_out": {"S9/*": "ill"}}, "leave_out: S9/* is none of the 12 recordings below {root} (S1/rest.edf"),
        ({"leave_out": {"S[12]/rest.edf": "ill"}}, "and 9 more). Square brackets are "
         "themselves; ? stands for one letter, * for several."),
        ({"leave_out": {"**": "all"}}, "leave_out leaves out all 12 recordings"),
        ({"classes": {"rest": "rest", "work": "work"}}, "{root}/S1/task.edf: 'task' stands for no class (rest: rest, "
         "work: work). Add it under classes, or say why it is not used under leave_out"),
        ({"split": {"train": ["S1", "S2"], "val": ["S3"], "test": ["S4", "S5"]}}, "split: S6 in no split."),
        ({"split": {"train": ["S1", "S2", "S6"], "val": ["S3"], "test": ["S4", "S5", "S7"]}},
         "split: S7 named (test), and no file is theirs; there are files of S1, S2"),
        ({"split": {"by": "subject", "shares": [0.98, 0.01, 0.01]}}, "leave nobody for val and test with shares"),
        ({"files": "{subject}/{recording}.edf", "labels": None, "classes": None}, "two files are recording rest: "
         "{root}/S1/rest.edf and {root}/S2/rest.edf."),
        ({"channels": [*CHANNELS, "T3"]}, "lacks 1 of the 5 channels of this run: T3. It has C3, Cz, C4, Pz. Take the "
         "others out of channels, or say which of these they are under aliases"),
        ({"aliases": {"C3": "Cz"}, "channels": ["Cz", "C4"]}, "C3 and Cz are both Cz (aliases). Name one of them."),
        ({"units": {"*": "furlongs"}}, "'furlongs'"),
        ({"windows": {"cut": "end_to_end", "length_s": 20}}, "no stretch of it is as long as a window (20 s)"),
    ],
)  # fmt: skip
def test_the_declaration_and_the_folder_contradict_each_other(root, changes, sentence):
    with pytest.raises(EegfmError) as error:
        prepared(declared(**changes), root)
    assert sentence.replace("{root}", str(root)) in str(error.value)


def test_an_empty_folder_is_said_to_be_empty(tmp_path):
    with pytest.raises(EegfmError, match=r"there are no files below .* data\.raw=<folder>"):
        prepared(declared(), tmp_path)


def test_files_of_the_system_and_loops_of_links_are_no_recordings(root):
    (root / "._S1").mkdir()
    shutil.copy(root / "S1/rest.edf", root / "._S1/rest.edf")
    shutil.copy(root / "S1/rest.edf", root / "S1/._rest.edf")
    (root / "S1" / "loop").symlink_to(root)
    assert len(declared(files="**/{subject}/{label}.edf").sources(root)) == 12
    (root / "S7").symlink_to(write(root.parent / "elsewhere", "S7/rest.edf").parent)
    assert len(declared().sources(root)) == 13


# ---- one recording, two names ----------------------------------------------------------------------------------------


def test_one_recording_under_two_subjects(root):
    shutil.copy(root / "S2/task.edf", root / "S5/task.edf")
    with pytest.raises(EegfmError) as error:
        prepared(declared(), root)
    assert "the same bytes: task.edf (S2-task) = task.edf (S5-task)" in str(error.value)
    assert "name the copy under leave_out: {<pattern>: <reason>}" in str(error.value)
    store = prepared(declared(leave_out={"S5/task.edf": "it is S2's"}), root)
    assert store.complete
    assert store.manifest.left_out == [{"recording": "S5-task", "reason": "it is S2's"}]


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_a_subject_in_two_groups(root):
    rows(root, *(f"{person},well" for person in PEOPLE), "S3,sick")
    with pytest.raises(EegfmError) as error:
        prepared(of_groups(), root)
    assert f"{root}/people.csv: subject S3 is 'well' in line 4 and 'sick' in line 8 (group)." in str(
        error.value
    )


TABLES = {
    "a subject without a file": (
        lambda root: rows(root, *(f"{p},well" for p in PEOPLE), "S7,sick"),
        "people.csv has 1 subjects of whom there is no file (line 8: S7); there are files of S1, S2, S3, S4 and 2 "
        "more. Fetch the files, correct the rows, or say why under leave_out: {<key>: <reason>}",
    ),
    "a subject that no row names": (
        lambda root: rows(root, *(f"{p},well" for p in PEOPLE[:5])),
        "people.csv: no row has person S6, of whom there are files. Add the rows",
    ),
    "an empty cell": (
        lambda root: rows(root, *(f"{p},well" for p in PEOPLE[:5]), "S6,n/a"),
        "people.csv: group is empty for line 7: S6. Fill it in",
    ),
    "a value that is no class": (
        lambda root: rows(root, *(f"{p},well" for p in PEOPLE[:5]), "S6,unsure"),
        "people.csv, line 7: 'unsure' stands for no class (well: well, sick: sick).",
    ),
    "a row that is too long": (
        lambda root: rows(root, "S1,well,old"),
        "people.csv, line 2: 3 values, and there are 2 columns (person, group).",
    ),
    "a column that is not there": (
        lambda root: rows(root, "S1,well", header="person,groups"),
        "people.csv: there is no column 'group'. Did you mean groups?",
    ),
    "no table": (lambda root: (root / "people.csv").unlink(), "No table at"),
    "no text": (
        lambda root: (root / "people.csv").write_bytes(b"PK\0\0"),
        "is no text. Save the table as CSV.",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), TABLES.values(), ids=TABLES)
def test_a_table_of_subjects(root, spoil, sentence):
    spoil(root)
    with pytest.raises(EegfmError) as error:
        prepared(of_groups(), root)
    assert sentence in str(error.value)


FILES = {
    "a file that is not there": (
        lambda lines: [*lines, "S9/rest.edf,rest"],
        "files.csv names 1 files that are not there (line 14: S9/rest.edf). Fetch them, correct the rows, or say why "
        "under leave_out",
    ),
    "a file that no row names": (
        lambda lines: lines[:-1],
        "files.csv: no row names 1 of the files (S6/task.edf). Add the rows, or say why the files are not used",
    ),
    "a name that is two files": (
        lambda lines: ["rest.edf,rest", *lines],
        "files.csv, line 2: rest.edf may be any of S1/rest.edf, S2/rest.edf, S3/rest.edf, S4/rest.edf and 2 more. "
        "Write its path below",
    ),
    "a file in two classes": (
        lambda lines: [*lines, "S1/rest.edf,task"],
        "file S1/rest.edf is 'rest' in line 2 and 'task' in line 14 (class)",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), FILES.values(), ids=FILES)
def test_a_table_of_files(root, change, sentence):
    made = declared(files="{subject}/*.edf", labels={"from": "table", **BY_FILE})
    files_table(root)
    assert prepared(made, root).complete
    files_table(root, change)
    with pytest.raises(EegfmError) as error:
        made.sources(root)
    assert sentence in str(error.value)


def test_rows_and_files_that_are_left_out_with_a_reason_are_no_fault(root):
    files_table(root, lambda lines: [*lines[:-1], "S9/rest.edf,rest"])
    made = declared(
        files="{subject}/*.edf", labels={"from": "table", **BY_FILE},
        leave_out={"S9/rest.edf": "lost", "S6/task.edf": "he slept"},
    )  # fmt: skip
    store = prepared(made, root)
    assert len(store) == 11 * 4
    assert store.manifest.left_out == [{"recording": "S6-task", "reason": "he slept"}]


def test_what_is_left_out_is_in_no_split(root):
    """Of a test subject a recording, and all of somebody whom no split names."""
    named = {"train": ["S1", "S2", "S3"], "val": ["S4"], "test": ["S5"]}
    store = prepared(declared(split=named, leave_out={"S5/rest.edf": "short", "S6/*": "ill"}), root)
    assert store.complete and len(store.manifest.left_out) == 3
    assert set(store.index.subject[store.index.rows("test")].tolist()) == {"S5"}


def test_a_table_that_changes_is_told(root):
    prepared(of_groups(), root)
    rows(root, *(f"{person},{'sick' if i > 2 else 'well'}" for i, person in enumerate(PEOPLE)))
    with pytest.raises(EegfmError, match=r"does not hold the files .* people\.csv has"):
        prepared(of_groups(), root)


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_a_split_that_nobody_is_in_and_a_subject_in_two(root):
    usual = {"from": "table", "file": "people.csv", "key": "person", "by": "subject", "column": "group"}
    rows(root, *(f"{person},{'test' if i > 3 else 'train'}" for i, person in enumerate(PEOPLE)))
    with pytest.raises(EegfmError) as error:
        declared(split=usual).sources(root)
    assert "split: no recording is in val, as column group of people.csv says. Name some there" in str(
        error.value
    )
    rows(root, *(f"{person},training" for person in PEOPLE))
    with pytest.raises(EegfmError) as error:
        declared(split=usual).sources(root)
    assert f"{root}/people.csv, line 2: 'training' is no split. Did you mean train?" in str(error.value)
    splits = ("train", "train", "train", "train", "val", "test")
    lines = [
        f"{person}/{label}.edf,{split}"
        for person, split in zip(PEOPLE, splits, strict=True)
        for label in ("rest", "task")
    ]
    rows(root, *lines[:-1], "S6/task.edf,train", name="files.csv", header="file,class")
    by_file = {"from": "table", **BY_FILE}
    with pytest.raises(EegfmError) as error:
        declared(split=by_file).sources(root)
    assert (
        f"subject S6 is in test ({root}/files.csv, line 12) and in train ({root}/files.csv, line 13). Correct one, or "
        "say that it is meant so: split.within_subject: true"
    ) in str(error.value)
    made = declared(split={**by_file, "within_subject": True})
    assert prepared(made, root).manifest.within_subject


# ---- classes, counted over the whole ---------------------------------------------------------------------------------


def test_a_label_that_occurs_in_one_subject_only(root):
    write(root, "S4/dream.edf")
    made = declared(classes={"rest": "rest", "task": "task", "dream": "dream"})
    with pytest.raises(EegfmError) as error:
        prepared(made, root)
    assert (
        "class dream is of subject S4 alone (S4-dream), so that no split by subject can both train"
        in str(error.value)
    )
    partial = prepared(made, root, allow_partial=True)
    assert not partial.complete and "class dream" in partial.manifest.census_differences[0]


def test_a_class_that_is_never_found(root):
    with pytest.raises(
        EegfmError, match="class dream has no window: correct what stands for it, or take it out"
    ):
        prepared(declared(classes={"rest": "rest", "task": "task", "dream": "dream"}), root)


def test_what_the_first_preparation_counted_is_a_census_from_then_on(root):
    store = prepared(declared(), root)
    counted = store.folder.with_name(f"{store.folder.name}.counted.json")
    assert counted.is_file()
    shutil.rmtree(store.folder)
    assert prepared(declared(), root).content == store.content
    shutil.rmtree(store.folder)
    (root / "S6/task.edf").unlink()
    with pytest.raises(EegfmError) as error:
        prepared(declared(), root)
    said = str(error.value)
    assert "11 recordings, the census says 12" in said and "44 windows, the census says 48" in said
    assert f"changed on purpose, delete {counted}, and the next preparation counts anew" in said
    assert not prepared(declared(), root, allow_partial=True).complete
    shutil.rmtree(store.folder)
    counted.unlink()
    assert prepared(declared(), root).complete
    counted.write_text("{")
    with pytest.raises(EegfmError, match="Delete it, and the next preparation counts anew"):
        shutil.rmtree(store.folder)
        prepared(declared(), root)


def test_a_partial_preparation_is_no_census(root):
    (root / "S6/task.edf").write_bytes(b"0       no EDF")
    with pytest.raises(EegfmError) as error:
        prepared(declared(), root)
    assert str(error.value).endswith("or why they are not used: leave_out: {<pattern>: <reason>}")
    assert "Fetch the file again" not in str(error.value)
    (check,) = [
        one for one in verify(declared(), root, root.parent, progress=False) if one.name == "readable"
    ]
    assert check.found.startswith("1 of 12 recordings are not usable: S6-task: ")
    assert "etch" not in check.found + check.remedy
    assert check.remedy.endswith("or why they are not used: leave_out: {<pattern>: <reason>}")
    store = prepared(declared(), root, allow_partial=True)
    assert not store.folder.with_name(f"{store.folder.name}.counted.json").exists()


# ---- signals ---------------------------------------------------------------------------------------------------------


def test_three_rates_in_one_folder(root):
    write(root, "S2/rest.edf", rate=250.0)
    write(root, "S3/rest.edf", rate=512.0)
    with pytest.raises(EegfmError) as error:
        prepared(declared(), root)
    said = str(error.value)
    assert (
        f"{root}/S2/rest.edf is sampled at 250 Hz, and 200 Hz was declared. If it is right so, say" in said
    )
    assert "raw_sfreq: [200, 512]; all are stored at one rate" in said
    store = prepared(declared(raw_sfreq=[200, 250, 512]), root)
    assert store.complete and len(store) == 48


def test_what_is_wrong_with_every_file_is_said_with_a_count(root, capsys):
    write(root, "S3/rest.edf", rate=250.0)
    with pytest.raises(EegfmError) as error:
        prepared(declared(raw_sfreq=256), root)
    said = str(error.value)
    assert said.count("is sampled at") == 2 and "S3/rest.edf is sampled at 250 Hz" in said
    assert "S1/rest.edf is sampled at 200 Hz" in said and "The same of 10 more: S1-task, " in said
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("not usable: ") == 4
    assert "not usable for the same reasons: 8 more" in shown


def test_a_unit_that_is_none_and_one_that_is_wrong(tmp_path):
    root = tmp_path / "raw"
    for person in PEOPLE[:3]:
        write(root, f"{person}.edf", unit="foo")
    usual = dict(files="{subject}.edf", labels=None, classes=None)
    with pytest.raises(EegfmError) as error:
        prepared(declared(**usual), root)
    assert (
        f"{root}/S1.edf: C3, Cz, C4, Pz has the unit 'foo', which says nothing of microvolts. Say what one number is, "
        'under units: {C3: uV}, or {"*": uV} for all channels.'
    ) in str(error.value)
    right = prepared(declared(**usual, units={"*": "uV"}), root)
    np.testing.assert_allclose(right.read([0])[0], signal("S1.edf")[:, :400], atol=0.01)
    for person in PEOPLE[:3]:
        write(root, f"{person}.edf", unit="mV")
    with pytest.raises(EegfmError, match=r"factor of 1e3[\s\S]*what is right of them \(units, "):
        prepared(declared(**usual), root)
    with pytest.raises(EegfmError, match=r"S1\.edf has no EOG"):
        prepared(declared(**usual, units={"EOG": "uV"}), root)


# ---- events ----------------------------------------------------------------------------------------------------------


def events(root: Path, *times: tuple[float, int], name: str = "{person}-eve.fif") -> Any:
    for person in PEOPLE[:3]:
        write(root, f"{person}.edf")
        found = [[round(at * 200), 0, code] for at, code in times or ((0.5, 1), (3, 2), (5, 1))]
        mne.write_events(root / name.format(person=person), np.array(found), verbose="error")
    return dict(
        files="{subject}.edf", labels={"from": "events", "file": "{stem}-eve.fif"}, classes={"a": 1, "b": [2, 3]},
        windows={"cut": "events", "from_s": 0, "to_s": 2},
    )  # fmt: skip


def test_events_that_are_not_there(tmp_path):
    root = tmp_path / "raw"
    usual = events(root)
    assert prepared(declared(**usual), root).complete
    (root / "S2-eve.fif").unlink()
    with pytest.raises(EegfmError) as error:
        prepared(declared(**{**usual, "sfreq": 100, "raw_sfreq": 200}), root)
    assert "1 of 3 recordings are missing" in str(error.value) and "S2-eve.fif" in str(error.value)
    (root / "S2-eve.fif").write_text("nothing")
    with pytest.raises(EegfmError, match=r"S2-eve\.fif cannot be read as events by MNE"):
        prepared(declared(**{**usual, "sfreq": 100, "raw_sfreq": 200}), root)


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (((0.5, 7), (3, 8), (5, 7)), "has none of the events of the classes (1, 2, 3). It has 7 (2), 8 (1). Correct"),
        (((0.5, 1), (3, 2), (6.5, 3)), "S1.edf: 1 windows of 2 s pass an end or a gap of the recording (3 at 6.5 s; it "
         "has 8 s). To leave out such windows: windows.beyond: drop"),
        (((0.5, 1), (0.5, 2), (4, 1)), "1 and 2 would both label the window at 0.5 s."),
    ],
)  # fmt: skip
def test_events_that_make_no_windows(tmp_path, times, sentence):
    root = tmp_path / "raw"
    with pytest.raises(EegfmError) as error:
        prepared(declared(**events(root, *times)), root)
    assert sentence in str(error.value)


def test_windows_beyond_the_end_are_dropped_if_it_is_said_and_counted(tmp_path):
    root = tmp_path / "raw"
    usual = events(root, (0.5, 1), (3, 2), (6.5, 3))
    store = prepared(declared(**{**usual, "windows": {**usual["windows"], "beyond": "drop"}}), root)
    assert len(store) == 6
    assert store.manifest.recordings[0]["notes"] == ["1 of 3 windows pass an end or a gap and are dropped"]


def test_events_that_last_too_short(tmp_path):
    root = tmp_path / "raw"
    usual = events(root)
    sliding = {**usual, "windows": {"cut": "sliding", "length_s": 1, "hop_s": 0.5}}
    with pytest.raises(EegfmError, match=r"1 at 0\.5 s lasts 0 s, less than a window .* windows\.to_s"):
        prepared(declared(**sliding), root)
    rows = ["onset\tduration\ttrial_type", "0.5\t1\t1", "3,5\t1\t2"]
    for person in PEOPLE[:3]:
        (root / f"{person}.tsv").write_text("\n".join(rows))
    of_tsv = {**sliding, "labels": {"from": "events", "file": "{stem}.tsv"}}
    with pytest.raises(EegfmError, match=r"S1\.tsv, line 3: '3,5' is no number"):
        prepared(declared(**of_tsv), root)
    (root / "S1.tsv").write_text("\n".join([rows[0], "n/a\t1\t1"]))
    with pytest.raises(EegfmError, match=r"S1\.tsv, line 2: onset is empty; a number is wanted"):
        prepared(declared(**of_tsv), root)


# ---- the declaration alone -------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"files": "{subjet}/*.edf"}, "{subjet} in {subjet}/*.edf: there is no subjet. Did you mean subject?"),
    ({"files": "*/{label}.edf"}, "files has no {subject}. Put it where"),
    ({"files": "{subject}/*.edf"}, "labels: from: path, and files has no {label}."),
    ({"labels": {"from": "folder"}}, "labels.from=folder: one of these is wanted: path, table, events."),
    ({"labels": {**GROUPS, "colum": "x"}}, "labels.colum: labels has no colum. Did you mean column?"),
    ({"labels": {"from": "table", "file": "a.csv"}}, "labels: key, by, column is wanted as well"),
    ({"labels": {**GROUPS, "file": "../a.csv"}}, "labels.file=../a.csv: a path below data.raw is wanted."),
    ({"labels": {**GROUPS, "by": "night"}}, "labels.by=night: subject or file is wanted."),
    ({"labels": None}, "classes are named, and labels: null."),
    ({"classes": {"rest": "rest"}}, "classes: 1 of them, and two or more are wanted"),
    ({"classes": {"a": "x", "b": ["x", "y"]}}, "classes: x stands for a and for b."),
    ({"classes": {"a": True, "b": False}}, "classes.a: True is no text. Put it into quotes."),
    ({"windows": {"cut": "trials"}}, "windows.cut=trials: one of these is wanted"),
    ({"windows": {"cut": "end_to_end"}}, "windows: cut: end_to_end needs length_s, in seconds."),
    (
        {"windows": {"cut": "end_to_end", "length_s": 2, "hop_s": 1}},
        "windows.hop_s: cut: end_to_end has no hop_s",
    ),
    ({"windows": {"cut": "events", "from_s": 0, "to_s": 1}}, "and the labels are not of events"),
    (
        {"windows": {"cut": "end_to_end", "length_s": "2 s"}},
        "windows.length_s=2 s: a number of seconds is wanted.",
    ),
    (
        {"windows": {"cut": "end_to_end", "length_s": 0.0133}},
        "are 2.66 samples at 200 Hz, and a whole number is wanted",
    ),
    (
        {"windows": {"cut": "sliding", "length_s": 2, "hop_s": 0}},
        "a length and a hop of more than 0 seconds",
    ),
    ({"channels": "common"}, "channels: common: which these are must be known before a file is opened"),
    ({"channels": []}, "channels: none is named. `eegfm new <folder>` shows"),
    ({"channels": ["Cz", "Cz"]}, "channels: Cz twice."),
    ({"channels": ["Cz", "nd"]}, "Not a place of the 10-05 system: 'nd'"),
    ({"channels": ["Cz", "nd"]}, "or that it has no place: {nd: null}"),
    ({"channels": "biosemi46"}, "channels: biosemi46: it is no montage. Did you mean biosemi"),
    ({"places": {"Czz": [0, 0, 0.1]}}, "places: no channel is Czz. Did you mean Cz?"),
    ({"places": {"Cz": [0, 0, 100]}}, "places.Cz=[0, 0, 100]: metres in the head frame are wanted"),
    (
        {"places": "electrodes.tsv"},
        "places: electrodes.tsv: where electrodes are must be known before a file is opened",
    ),
    ({"split": "test"}, "split: test: one of these is wanted: train, {by: subject"),
    ({"split": {"by": "subject", "shares": [0.5, 0.5]}}, "split.shares=[0.5, 0.5]: three numbers"),
    (
        {"split": {"train": ["S1"], "test": ["S1"]}},
        "split: subject S1 is in train and in test. Name it once.",
    ),
    ({"split": {"train": "S1"}}, "split.train=S1: a list of subjects is wanted."),
    ({"split": {"by": "subject", "sed": 1}}, "split.sed: there is no sed. Did you mean seed?"),
    ({"leave_out": {"S1/*": None}}, "leave_out: say why S1/* is left out"),
    ({"name": "my data"}, "'my data' is no name of a folder"),
    ({"reader": "a.b", "units": {"*": "mV"}}, "units, and a reader of your own, which gives microvolts."),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG, ids=[str(changes)[:60] for changes, _ in WRONG])
def test_a_declaration_that_is_wrong_is_a_sentence_before_any_file_is_opened(changes, sentence):
    with pytest.raises(EegfmError) as error:
        declared(**changes)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"data={changes.get('name', 'mine')}: ")
