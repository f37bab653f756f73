"""`eegfm new`: what it finds in folders as people have them, and the YAML that it writes, which is then used."""

import gzip
import os
import re
import shutil

import mne
import numpy as np
import pytest
import yaml

from eegfm.benchmarks.own.declared import benchmark
from eegfm.benchmarks.own.new import paths
from eegfm.benchmarks.own.new.deciding import decisions
from eegfm.benchmarks.own.new.folder import copies
from eegfm.benchmarks.own.new.found import find_in
from eegfm.benchmarks.own.new.writing import yaml_of
from eegfm.benchmarks.own.patterns import Pattern
from eegfm.commands.new import main, name_of
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf_writer import EdfWriter
from tests.one_recording import write_bids
from tests.writers_brainvision import write_brainvision

RNG = np.random.default_rng(0)
NAMES = ["EEG Fp1-REF", "EEG T3-REF", "C3-A2", "EEG A1-REF", "ECG"]


def edf(path, *, names=NAMES, seconds=12, gain=1.0, sfreq=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    with EdfWriter(path, names, sfreq) as file:
        file.write(gain * 20 * RNG.standard_normal((len(names), seconds * sfreq)))
    return path


def folder_of(root, n=6):
    for i in range(1, n + 1):
        for task in ("rest", "task"):
            edf(root / f"P{i:02d}" / f"P{i:02d}_{task}.edf")
    return root


def declaration(root, name="mine"):
    return yaml.safe_load(yaml_of(find_in(root), name))


def asked(root):
    return {one.key: one for one in decisions(find_in(root))}


def test_paths_say_subjects_and_labels(tmp_path):
    found = find_in(folder_of(tmp_path))
    assert found.said.patterns == ("{subject}/{subject}_*.edf",)
    assert found.subjects == [f"P{i:02d}" for i in range(1, 7)]
    (label,) = found.said.labels
    assert label.pattern == "{subject}/{subject}_{label}.edf" and label.counts == {"rest": 6, "task": 6}
    assert not label.by_subject


@pytest.mark.parametrize(
    ("names", "pattern", "subjects"),
    [
        (["sub-01/eeg/sub-01_task-a_eeg.vhdr", "sub-x2/eeg/sub-x2_task-b_eeg.vhdr"], None, {"01", "x2"}),
        (["sub01/r-[1.2.3]_raw.fif", "sub02/r-[1.2.4]_raw.fif"], "{subject}/r-[*]_raw.fif", {"sub01", "sub02"}),
        (["Pat_3 rest.set", "Pat_4 rest.set"], "{subject} rest.set", {"Pat_3", "Pat_4"}),
        (["ab1c/ab1c.x.1.gz", "ab2d/ab2d.x.2.gz"], "{subject}/{subject}.x.*.gz", {"ab1c", "ab2d"}),
        (["anna/1.edf", "bob/1.edf", "carl/1.edf"], "{subject}/1.edf", {"anna", "bob", "carl"}),
        (["well/anna.edf", "ill/bob.edf"], "*/*.edf", set()),
        (["a.edf", "b.edf"], "*.edf", set()),
        (["S001/S001R03.edf"], "{subject}/{subject}R03.edf", {"S001"}),
        (["Größe 1/ä{1}.edf", "Größe 2/ä{2}.edf", "Größe 3/ä{3}.edf"], None, {"Größe 1", "Größe 2", "Größe 3"}),
    ],
)  # fmt: skip
def test_subjects_in_names(names, pattern, subjects):
    said = paths.said_by(names)
    assert set(said.subjects.values()) == subjects and bool(said.why) == bool(subjects)
    assert pattern is None or said.patterns == (pattern,)
    for name in names:  # what is written matches what was found, and says the same of it
        (match,) = [found for text in said.patterns if (found := Pattern(text).match(name)) is not None]
        assert match.get("subject") == said.subjects.get(name)
    assert bool(said.could_be) == (not subjects)
    for one in said.could_be:
        assert {Pattern(one.pattern).match(name)["subject"] for name in names} == set(one.counts)


def test_names_of_channels_are_understood_and_what_is_not_is_told(tmp_path):
    edf(tmp_path / "P1.edf")
    edf(tmp_path / "P2.edf", names=["Fp1.", "T7", "C3", "Cz", "A1", "ECG"])
    channels = find_in(tmp_path).channels
    assert channels.common == ("Fp1", "T7", "C3", "A1") and channels.partly == {"Cz": 1}
    assert channels.placeless == {"ECG": 2} and channels.aliases == {"C3-A2": "C3"}
    said = declaration(tmp_path)["benchmark"]
    assert said["channels"] == ["Fp1", "T7", "C3"] and said["aliases"] == {"C3-A2": "C3"}


def test_inputs_of_an_amplifier_are_no_ears_and_a_net_has_its_montage(tmp_path):
    edf(tmp_path / "P1.edf", names=["A1", "A2", "A3", "B1", "C1"])
    found = find_in(tmp_path).channels
    assert found.common == () and found.montage.startswith("biosemi")
    net = tmp_path / "net"
    edf(net / "P1.edf", names=[f"E{i}" for i in range(1, 60)])
    said = declaration(net)["benchmark"]
    assert said["channels"][:2] == ["E1", "E2"] and len(said["places"]) == 59
    montage = mne.channels.make_standard_montage(find_in(net).channels.montage)
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    np.testing.assert_allclose(
        said["places"]["E5"], info["chs"][info.ch_names.index("E5")]["loc"][:3], atol=1e-4
    )


def test_several_channels_of_one_electrode_are_for_a_person_to_choose(tmp_path):
    edf(tmp_path / "P1.edf", names=["C3-A1", "C3-A2", "Cz"])
    found = find_in(tmp_path)
    assert found.channels.common == ("Cz",) and found.channels.doubles == {"C3": ("C3-A1", "C3-A2")}
    assert "say which is meant, {C3-A1: C3}" in yaml_of(found, "a").replace("\n  #", "")


@pytest.mark.parametrize(("gain", "unit"), [(1.0, None), (1e3, "nV"), (1 / 150, "V")])
def test_an_amplitude_that_no_eeg_has_asks_for_the_unit(tmp_path, gain, unit):
    raw = mne.io.RawArray(
        gain * 20e-6 * RNG.standard_normal((2, 2000)),
        mne.create_info(["Fz", "Cz"], 200.0, "eeg"),
        verbose="error",
    )
    raw.save(tmp_path / "P1_raw.fif", verbose="error")
    found = find_in(tmp_path)
    assert ("units" in asked(tmp_path)) == (unit is not None or gain < 0.1)
    if unit == "nV":
        assert [*found.amplitude.candidates] == [
            "mV"
        ]  # 20 mV by the file: had it counted millivolts, 20 µV


def test_a_unit_that_no_file_states_is_asked_for(tmp_path):
    path = edf(tmp_path / "P1.edf", names=["Fz", "Cz"])
    path.write_bytes(path.read_bytes().replace(b"uV      ", b"        "))
    units = asked(tmp_path)["units"]
    assert "do not say what one number is, of Fz, Cz" in units.found and '{"*": uV}' in units.choices


def test_what_cannot_be_read_is_told_and_stops_nothing(tmp_path):
    folder_of(tmp_path, 1)
    (tmp_path / "P01" / "P01_x.edf").write_bytes(b"no EDF")
    (tmp_path / "P01" / "P01_y.eeg").write_bytes(b"samples without a header")
    (tmp_path / "P01" / "P01_z.vhdr").write_bytes(b"\xff\xfe")
    (tmp_path / "P01" / "P01_gone.edf").symlink_to("nowhere.edf")
    found = find_in(tmp_path)
    assert len(found.looked.looks) == 2
    assert {path.rpartition("_")[2] for path in found.unreadable} == {
        "x.edf",
        "y.eeg",
        "z.vhdr",
        "gone.edf",
    }
    assert all(why and str(tmp_path) not in why for why in found.unreadable.values())


def test_equal_bytes_are_told(tmp_path):
    folder_of(tmp_path, 2)
    shutil.copy(tmp_path / "P01" / "P01_rest.edf", tmp_path / "P02" / "P02_rest.edf")
    (group,) = find_in(tmp_path).copies
    assert group == ("P01/P01_rest.edf", "P02/P02_rest.edf")
    content = bytearray((tmp_path / "P02" / "P02_rest.edf").read_bytes())
    content[len(content) // 3] ^= 1  # where no part is looked at
    (tmp_path / "a").write_bytes(bytes(content) * 40)
    content[len(content) // 3] ^= 1
    (tmp_path / "b").write_bytes(bytes(content) * 40)
    assert copies(tmp_path, ["a", "b"]) == []


def test_events_of_recordings_and_of_files_beside_them(tmp_path):
    for i in range(1, 4):
        marks = [
            ("Stimulus", "S  1", 100),
            ("Stimulus", "S  2", 600),
            ("Stimulus", "S  1", 1100),
            ("New Segment", "", 1),
        ]
        write_brainvision(
            tmp_path / f"P{i}.vhdr", RNG.integers(-200, 200, (2, 2000)), marks=marks[: 3 if i > 1 else 4]
        )
        (tmp_path / f"P{i}_events.tsv").write_text("onset\tduration\ttrial_type\n1\t0\tgo\n2\t0\tstop\n")
    beside, own = find_in(tmp_path).codes
    assert own.counts == {"Stimulus/S  1": 6, "Stimulus/S  2": 3} and own.apart_s == 2.0
    assert beside.file == "{stem}_events.tsv" and beside.counts == {"go": 3, "stop": 3}
    assert beside.declared == '{from: events, file: "{stem}_events.tsv", column: trial_type, onset: onset}'
    assert find_in(tmp_path).files.beside == tuple(
        sorted(f"P{i}{end}" for i in range(1, 4) for end in (".eeg", ".vmrk"))
    )


def test_a_table_of_people_is_understood_with_whom_it_has_in_vain(tmp_path):
    folder_of(tmp_path, 6)
    rows = [f"P{i:02d},{'ill' if i % 2 else 'well'},{20 + i}" for i in range(1, 8)]
    (tmp_path / "people.csv").write_text("person,group,age\n" + "\n".join(rows))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3,4\n")
    other, people = find_in(tmp_path).tables
    assert other.key == "" and people.key == "person" and people.by == "subject" and people.named == 6
    assert people.strangers == ("P07",)
    assert next((one.name, one.counts) for one in people.labels) == ("group", {"ill": 6, "well": 6})
    labels = asked(tmp_path)["labels"].choices
    assert "{from: table, file: people.csv, key: person, by: subject, column: group}" in labels
    assert any("leave_out: {P07: not here}" in choice for choice in labels)


def test_files_of_an_unknown_kind_ask_for_a_reader(tmp_path):
    for i in range(1, 7):
        (tmp_path / f"co{i}").mkdir()
        for trial in range(2):
            (tmp_path / f"co{i}" / f"co{i}.rd.00{trial}.gz").write_bytes(gzip.compress(b"# trial\n1 2"))
    found = find_in(tmp_path)
    assert len(found.strange) == 12 and found.said.patterns == ("{subject}/{subject}.rd.*.gz",)
    reader = asked(tmp_path)["reader"]
    assert "def read(path):" in reader.choices
    assert declaration(tmp_path)["benchmark"]["reader"] == "???"


def test_a_folder_of_nothing_and_no_folder_are_refused(tmp_path):
    with pytest.raises(EegfmError, match="no file below"):
        find_in(tmp_path)
    with pytest.raises(EegfmError, match="is no folder"):
        find_in(tmp_path / "gone")


def test_names_that_are_markup_yaml_or_not_utf_8_go_through(tmp_path, capsys, monkeypatch):
    root = tmp_path / "raw"
    for name in ("P1 [red]x[/red]", "P2 #: {a}", 'P3 "q"'):
        edf(root / f"{name}.edf")
    os.rename(root / 'P3 "q".edf', os.fsencode(root) + b"/P3 \xff.edf")
    monkeypatch.chdir(tmp_path)
    main([str(root), "--name", "mine"])
    shown = capsys.readouterr().out
    assert "[red]" not in shown or "red]x" in shown
    said = yaml.safe_load((tmp_path / "conf" / "data" / "mine.yaml").read_text(encoding="utf-8"))
    assert said["benchmark"]["name"] == "mine" and said["raw"] == str(root)


def test_what_is_written_is_used_once_it_is_decided(tmp_path, monkeypatch, capsys):
    """The walk of a person: new, decide, and the data set is read."""
    root = folder_of(tmp_path / "My recordings 2")
    monkeypatch.chdir(tmp_path)
    main([str(root)])
    out = capsys.readouterr().out
    file = tmp_path / "conf" / "data" / "my_recordings_2.yaml"
    assert "eegfm prepare data=my_recordings_2" in out and "To be decided" in out
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^  (\w+): \?\?\?$", text, re.MULTILINE) == ["labels", "classes", "windows"]
    assert text.index("???") < text.index("# Found")
    said = yaml.safe_load(text)["benchmark"]
    (label,) = find_in(root).said.labels
    said |= {
        "files": label.pattern,
        "labels": {"from": "path"},
        "classes": {"rest": "rest", "task": "task"},
        "windows": {"cut": "end_to_end", "length_s": 4},
    }
    spec = benchmark(**said)
    sources = spec.sources(root)
    assert len(sources) == 12 and {source.subject for source in sources} == {
        f"P{i:02d}" for i in range(1, 7)
    }
    recording = spec.read(sources[0])
    assert recording.montage.names == ("Fp1", "T7", "C3")
    assert [window.label for window in spec.windows(recording, sources[0])] == [0, 0, 0]


def test_a_file_that_is_there_is_not_written_over_unless_it_is_said(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "raw", 1)
    monkeypatch.chdir(tmp_path)
    main([str(root), "--name", "mine"])
    file = tmp_path / "conf" / "data" / "mine.yaml"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"mine\.yaml is there.*--replace"):
        main([str(root), "--name", "mine"])
    assert file.read_text(encoding="utf-8") == "mine"
    main([str(root), "--name", "mine", "--replace"])
    assert "benchmark:" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "sentence"), [("tuev", "of its own"), ("a b", "is no name"), ("../x", "is no name")]
)
def test_a_name_that_eegfm_has_and_one_that_is_none_are_refused(tmp_path, monkeypatch, given, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=sentence):
        main([str(folder_of(tmp_path / "raw", 1)), "--name", given])
    assert not (tmp_path / "conf").exists()


def test_the_name_is_the_folders(tmp_path):
    assert [name_of(tmp_path / name) for name in ("My EEG-2", "2026", "ÄÖ")] == [
        "my_eeg_2",
        "data_2026",
        "data",
    ]


@pytest.mark.parametrize(
    ("name", "subjects", "open_keys"),
    [
        ("ssvep_kalunga2016", 9, ["units", "labels", "classes", "windows"]),
        ("mental_arithmetic_eegmat", 20, ["labels", "classes", "windows"]),
        ("eegmmidb", 1, ["labels", "classes", "windows", "split"]),
        ("alcoholism_uci", 14, ["reader", "channels", "raw_sfreq", "labels", "classes", "windows"]),
        ("feis_fixation", 0, ["reader", "files", "channels", "raw_sfreq", "windows"]),
    ],
)
def test_real_folders(eeg_data, name, subjects, open_keys):
    found = find_in(eeg_data / name)
    assert len(found.subjects) == subjects and not found.unreadable
    assert [one.key for one in decisions(found)] == open_keys
    said = yaml.safe_load(yaml_of(found, "mine"))["benchmark"]
    assert [key for key, value in said.items() if value == "???"] == open_keys
    if name == "ssvep_kalunga2016":
        (codes,) = found.codes
        assert (
            codes.counts == {str(code): 152 for code in (1, 2, 3, 4)}
            and codes.declared == '{from: events, file: "{stem}-eve.fif"}'
        )
        assert [*found.amplitude.candidates] == ["mV"] and said[
            "channels"
        ] == "Oz O1 O2 PO3 POz PO7 PO8 PO4".split()
        assert said["files"] == "{subject}/record-[*]_raw.fif" and found.channels.n_displaced
    if name == "alcoholism_uci":
        (label,) = found.said.labels
        assert label.counts == {"a": 210, "c": 210} and label.by_subject
        assert Pattern(label.pattern).match("co2a0000364/co2a0000364.rd.000.gz") == {
            "subject": "co2a0000364",
            "label": "a",
        }


def test_the_sidecars_of_bids_are_no_tables_of_people(tmp_path):
    pytest.importorskip("mne_bids")
    info = mne.create_info(["Fz", "Cz", "Pz"], 200.0, "eeg")
    for i, subject in enumerate(("01", "02")):
        data = np.random.default_rng(i).normal(0, 2e-5, (3, 2000))
        raw = mne.io.RawArray(data, info, verbose="error")
        raw.save(tmp_path / f"{subject}_raw.fif", verbose="error")
        raw = mne.io.read_raw_fif(tmp_path / f"{subject}_raw.fif", verbose="error")
        write_bids(raw, tmp_path / "set", "BrainVision", subject=subject)
    found = find_in(tmp_path / "set")
    assert [table.file for table in found.tables] == ["participants.tsv"]
