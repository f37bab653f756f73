"""A declaration makes the windows that it says: whose, of which class, in which split, from which second."""

import inspect
import pickle
from pathlib import Path

import mne
import numpy as np
import pytest
from omegaconf import OmegaConf

from eegfm.benchmarks.length import of_length
from eegfm.benchmarks.own.declared import benchmark
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.data.recipe import Recipe
from eegfm.signal.montage import montage_of
from eegfm.signal.steps import BandPass, Bipolar, Resample
from tests.corpus import CHANNELS
from tests.one_recording import one_recording, write_bids
from tests.own.folder import GROUPS, PEOPLE, declared, folder, prepared, signal, write


@pytest.fixture
def root(tmp_path) -> Path:
    return folder(tmp_path / "raw")


def labels_of(store) -> dict[str, set[int]]:
    index = store.index
    return {
        recording: set(index.label[index.recording == recording].tolist())
        for recording in set(index.recording.tolist())
    }


def test_the_windows_of_a_folder_are_its_microvolts_under_its_names(root):
    store = prepared(declared(), root)
    assert store.complete and len(store) == 12 * 4
    assert labels_of(store)["S3-task"] == {1} and labels_of(store)["S3-rest"] == {0}
    assert set(store.index.subject.tolist()) == set(PEOPLE)
    row = int(np.flatnonzero((store.index.recording == "S2-task") & (store.index.onset_s == 4))[0])
    np.testing.assert_allclose(store.read([row])[0], signal("S2/task.edf")[:, 800:1200], atol=0.01)
    assert store.folder.parent.name == "mine"


def test_subjects_are_divided_by_what_they_are_and_by_the_seed_and_stay_where_they_are(root):
    def splits(**changes) -> dict[str, str]:
        return {source.subject: source.split for source in declared(**changes).sources(root)}

    of_groups = dict(labels=GROUPS, classes={"well": "well", "sick": "sick"}, files="{subject}/*.edf")
    for seed in range(6):
        drawn = splits(**of_groups, split={"by": "subject", "shares": [0.34, 0.33, 0.33], "seed": seed})
        for split in ("train", "val", "test"):
            theirs = [PEOPLE.index(person) % 2 for person, its in drawn.items() if its == split]
            assert sorted(theirs) == [0, 1], (seed, drawn)
    seeds = {tuple(splits(split={"by": "subject", "seed": seed}).values()) for seed in range(8)}
    assert len(seeds) > 3
    assert set(splits(split="train").values()) == {"train"}
    named = {"train": ["S1", "S2", "S3", "S4"], "val": ["S5"], "test": ["S6"]}
    assert splits(split=named)["S6"] == "test"
    assert declared(split=named).splits == {split: tuple(names) for split, names in named.items()}


@pytest.mark.parametrize("by", ["table", "path"])
def test_a_split_that_is_given_is_taken_with_its_words_and_may_lack_validation(tmp_path, by):
    root = tmp_path / "raw"
    for i, person in enumerate(PEOPLE):
        part = "evaluation" if i > 3 else "training"
        write(root, f"{part}/{person}.edf")
    lines = [f"{person}.edf;{'evaluation' if i > 3 else 'training'}" for i, person in enumerate(PEOPLE)]
    (root / "parts.csv").write_text("\n".join(["﻿file;part", *lines]))
    given = {"from": "path"} if by == "path" else {
        "from": "table", "file": "parts.csv", "key": "file", "by": "file", "column": "part",
    }  # fmt: skip
    made = declared(
        files="{split}/{subject}.edf" if by == "path" else "*/{subject}.edf", labels=None, classes=None,
        split={**given, "names": {"train": "training", "test": "evaluation"}, "val_share": 0.25},
    )  # fmt: skip
    splits = {source.subject: source.split for source in made.sources(root)}
    assert [splits[person] for person in PEOPLE[4:]] == ["test", "test"]
    assert sorted(splits[person] for person in PEOPLE[:4]) == ["train", "train", "train", "val"]
    assert made.classes == () and prepared(made, root).complete


EVENTS = [(0.5, "go"), (2.0, "stop"), (3.5, "go"), (5.0, "nothing"), (5.5, "stop")]


def fif(root: Path, name: str, *, first: int = 0, annotated: bool = False) -> Path:
    """A FIF file, cropped so that its first sample is not MNE's sample 0, and events beside it in four forms."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    data = np.hstack([np.zeros((len(CHANNELS), first)), signal(name)]) * 1e-6
    raw = mne.io.RawArray(
        data, mne.create_info(list(CHANNELS), 200.0, "eeg"), first_samp=0, verbose="error"
    )
    if annotated:
        onsets, texts = zip(*EVENTS, strict=True)
        raw.set_annotations(mne.Annotations([o + first / 200 for o in onsets], [1.25] * len(onsets), texts))
    raw = raw.crop(tmin=first / 200)
    path = root / f"{name}_raw.fif"
    raw.save(path, verbose="error")
    codes = {"go": 1, "stop": 2, "nothing": 9}
    samples = [[round(o * 200) + raw.first_samp, 0, codes[text]] for o, text in EVENTS]
    mne.write_events(root / f"{name}-eve.fif", np.array(samples), verbose="error")
    rows = [f"{o}\tn/a\t{text}" for o, text in EVENTS]
    (root / f"{name}_events.tsv").write_text("\n".join(["onset\tduration\ttrial_type", *rows]))
    rows = [f"{round(o * 200)},{text}" for o, text in EVENTS]
    (root / f"{name}.csv").write_text("\n".join(["sample,what", *rows]))
    return path


FORMS = {
    "eve.fif": {"file": "{stem}-eve.fif"},
    "events.tsv": {"file": "{stem}_events.tsv"},
    "csv": {"file": "{stem}.csv", "onset": "sample", "column": "what", "onset_in": "samples"},
    "annotations": {},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", [0, 100])
def test_events_are_read_from_wherever_they_are_and_count_from_the_first_sample(tmp_path, form, first):
    root = tmp_path / "raw"
    for person in PEOPLE[:3]:
        fif(root, f"{person}/[a] 1", first=first, annotated=form == "annotations")
    codes = ("1", "2") if form == "eve.fif" else ("go", "stop")
    made = declared(
        files="{subject}/*_raw.fif", labels={"from": "events", **FORMS[form]},
        classes=dict(zip(("go", "stop"), codes, strict=True)),
        windows={"cut": "events", "from_s": 0.25, "to_s": 1.25}, channels=list(CHANNELS)[::-1],
    )  # fmt: skip
    store = prepared(made, root)
    rows = np.flatnonzero(store.index.recording == "S2-[a] 1_raw")
    assert store.index.onset_s[rows].tolist() == pytest.approx([0.75, 2.25, 3.75, 5.75])
    assert store.index.label[rows].tolist() == [0, 1, 0, 1]
    wanted = signal("S2/[a] 1")[::-1, 450:650]
    np.testing.assert_allclose(store.read([rows[1]])[0], wanted, atol=0.01)


def test_windows_slide_within_stretches_or_over_all(tmp_path):
    root = tmp_path / "raw"
    for person in PEOPLE[:3]:
        fif(root, person, annotated=True)
    usual = dict(files="{subject}_raw.fif", classes={"go": "go", "stop": "stop"}, labels={"from": "events"})

    def onsets(**changes) -> list[float]:
        store = prepared(declared(**{**usual, **changes}), root)
        return store.index.onset_s[store.index.recording == "S1_raw"].tolist()

    sliding = {"cut": "sliding", "length_s": 0.75, "hop_s": 0.25}
    assert onsets(windows=sliding)[:4] == pytest.approx([0.5, 0.75, 1.0, 2.0])
    assert onsets(windows={**sliding, "to_s": 1.0})[:3] == pytest.approx([0.5, 0.75, 2.0])
    free = dict(labels=None, classes=None)
    assert onsets(windows={"cut": "sliding", "length_s": 4, "hop_s": 1.5}, **free) == [0, 1.5, 3]
    assert onsets(windows={"cut": "end_to_end", "length_s": 4}, **free) == [0, 4]


def test_channels_have_aliases_older_names_places_and_units(tmp_path):
    root, names = tmp_path / "raw", ("EEG T3-REF", "Left", "EOG", "Fpz.")
    for person in PEOPLE[:3]:
        write(root, f"{person}.edf", names=names, unit="mV")
    made = declared(
        files="{subject}.edf", labels=None, classes=None, channels=["Fpz", "T7", "C3", "eye"],
        aliases={"Left": "C3", "EOG": "eye"}, units={"*": "uV"}, places={"eye": None, "C3": [-0.06, 0.0, 0.09]},
    )  # fmt: skip
    assert made.montage.names == ("Fpz", "T7", "C3", "eye")
    np.testing.assert_allclose(made.montage.coords[:2], montage_of(["Fpz", "T7"]).coords)
    assert made.montage.coords[2].tolist() == [-0.06, 0.0, 0.09] and np.isnan(made.montage.coords[3]).all()
    store = prepared(made, root)
    row = int(np.flatnonzero(store.index.recording == "S2")[0])
    np.testing.assert_allclose(store.read([row])[0], signal("S2.edf")[[3, 0, 1, 2], :400], atol=0.01)
    (root / "places.csv").write_text("name,x,y,z\neye,0.01,0.1,0.0\n")
    from_file = declared(channels=["Fpz", "eye"], places=str(root / "places.csv"))
    np.testing.assert_allclose(from_file.montage.coords[1], [0.01, 0.1, 0.0])
    assert len(declared(channels="ten_ten").channels) == len(declared(channels="biosemi64").channels) == 64


def test_steps_make_the_stored_rows_and_the_rate(root):
    rows = ("C3-Cz", "Cz-C4")
    made = declared(steps=(BandPass(1.0, 40.0), Bipolar(rows)), sfreq=100, raw_sfreq=200)
    assert made.channels == rows and made.steps[-1] == Resample(100.0)
    np.testing.assert_allclose(made.montage.coords, montage_of(rows).coords)
    store = prepared(made, root)
    assert store.shape == (2, 200)
    assert declared(steps=(Resample(100.0), BandPass(1, 20)), sfreq=100).steps[-1] == BandPass(1, 20)


def test_a_column_may_say_whose_a_recording_is(tmp_path):
    root = tmp_path / "raw"
    for i in range(6):
        write(root, f"night_{i}.edf")
    lines = [f"night_{i}\tP{i // 2}\t{i % 2}" for i in range(6)]
    (root / "nights.tsv").write_text("\n".join(["recording\tperson\tnight", *lines]))
    column = {"file": "nights.tsv", "key": "recording", "by": "file"}
    made = declared(
        files="*.edf", labels=None, classes=None, subject={**column, "column": "person"},
        session={**column, "column": "night"},
    )  # fmt: skip
    found = {source.recording: (source.subject, source.session) for source in made.sources(root)}
    assert found["night_3"] == ("P1", "1")
    assert {source.subject for source in declared(files="*.edf", subject="me", labels=None, classes=None,
                                                  split="train").sources(root)} == {"me"}  # fmt: skip


def mine(path: Path):
    """A reader of one's own, as a person would write it."""
    return ["C3", "Cz", "X"], np.loadtxt(path, delimiter=",").T, 200.0


def of_epochs(path: Path):
    names, data, rate = mine(path)
    return names, np.stack(np.array_split(data, 4, axis=1)), rate


def of_mne(path: Path):
    names, data, rate = mine(path)
    raw = mne.io.RawArray(data * 1e-6, mne.create_info(names, rate, "eeg"), verbose="error")
    return raw.set_annotations(mne.Annotations([1.0, 5.0], 0.0, ["a", "b"]))


def broken(path: Path):
    raise KeyError("no such thing")


def nothing(path: Path):
    return None


def test_a_reader_of_ones_own_needs_ten_lines(tmp_path, monkeypatch):
    root = tmp_path / "raw"
    root.mkdir()
    for person in PEOPLE[:3]:
        np.savetxt(root / f"{person}.txt", signal(person, n=3).T, delimiter=",")
    usual = dict(
        files="{subject}.txt", labels=None, classes=None, channels=["Cz", "C3", "X"], places={"X": None},
    )  # fmt: skip
    store = prepared(declared(**usual, reader="tests.own.test_declared.mine"), root)
    np.testing.assert_allclose(store.read([0])[0], signal("S1", n=3)[[1, 0, 2], :400], atol=0.01)
    cut = prepared(declared(**usual, reader="tests.own.test_declared.of_epochs"), root)
    np.testing.assert_array_equal(cut.read(range(len(cut))), store.read(range(len(store))))
    events = {**usual, "labels": {"from": "events"}, "classes": {"a": "a", "b": "b"}}
    at = prepared(
        declared(**events, reader="tests.own.test_declared.of_mne", windows={"cut": "events", "from_s": 0, "to_s": 2}),
        root,
    )  # fmt: skip
    np.testing.assert_allclose(at.read([1])[0], signal("S1", n=3)[[1, 0, 2], 1000:1400], atol=0.01)

    (tmp_path / "here.py").write_text("from tests.own.test_declared import mine as read\n")
    monkeypatch.chdir(tmp_path)  # a module beside the person, in no package
    assert declared(**usual, reader="here.read").read(declared(**usual).sources(root)[0]).sfreq == 200
    for reader, sentence in {
        "tests.own.test_declared.broken": "failed with KeyError: 'no such thing'",
        "tests.own.test_declared.nothing": "gave a NoneType. One of these is wanted: (names, data in microvolts",
        "tests.own.nowhere.read": "cannot be imported",
        "read": "The name of a function is wanted",
    }.items():
        with pytest.raises(EegfmError) as error:
            prepared(declared(**usual, reader=reader), root)
        assert sentence in str(error.value)


def test_it_travels_to_a_worker_and_every_fact_of_it_makes_another_store(root):
    made = declared()
    assert pickle.loads(pickle.dumps(made)).sources(root) == made.sources(root)
    same = prepared(made, root, workers=2).content
    assert same == prepared(declared(), root).content
    others = [
        dict(files="*/{label}.edf", subject="S1"), dict(leave_out={"S1/*": "ill"}), dict(units={"*": "mV"}),
        dict(windows={"cut": "end_to_end", "length_s": 4}), dict(aliases={"Cz": "Pz"}), dict(sfreq=100),
        dict(classes={"rest": "task", "task": "rest"}), dict(split="train"), dict(reader="a.b"),
        dict(split={"by": "subject", "seed": 1}),
    ]  # fmt: skip
    recipes = [Recipe.of(declared(**changes)).fingerprint for changes in others]
    assert len({*recipes, Recipe.of(made).fingerprint}) == len(others) + 1


def test_windows_of_another_length_keep_a_label_that_is_a_recordings(root):
    longer = of_length(declared(), 4.0)
    assert longer.classes == ("rest", "task") and len(prepared(longer, root)) == 12 * 2
    events = declared(labels={"from": "events"}, windows={"cut": "events", "from_s": 0, "to_s": 1})
    assert of_length(events, 4.0).classes == ()


def test_a_bids_data_set_is_read_with_its_sidecars(eeg_data, tmp_path):
    """A real recording, as mne-bids writes it: subject, session and events are BIDS's."""
    pytest.importorskip("mne_bids")
    raw = one_recording(eeg_data)
    write_bids(raw, tmp_path / "raw", "EDF", subject="07")
    made = declared(
        files=None, bids=True, labels={"from": "events"}, classes={"rest": "rest", "task": "task"},
        windows={"cut": "events", "from_s": 0, "to_s": 2, "beyond": "drop"}, channels=["Cz", "T7"],
        raw_sfreq=raw.info["sfreq"], split="train",
    )  # fmt: skip
    found = made.sources(tmp_path / "raw")
    assert [(source.subject, source.session) for source in found] == [("07", "a")]
    assert any(path.name.endswith("_events.tsv") for path in found[0].beside)
    assert found[0].path.suffix == ".edf"
    store = prepared(made, tmp_path / "raw")
    assert store.index.onset_s.tolist() == [1.5, 10.25, 45.1]
    assert store.index.label.tolist() == [0, 1, 0]
    wanted = raw.copy().load_data().resample(200, verbose="error").get_data(["Cz", "T3"])[:, 300:700] * 1e6
    np.testing.assert_allclose(store.read([0])[0], wanted, atol=0.05)


def test_every_key_stands_in_the_shared_file_with_its_default():
    node = OmegaConf.load(config_dir() / "data" / "shared" / "own.yaml").benchmark
    known = inspect.signature(benchmark).parameters
    assert set(node) - {"_target_"} == set(known)
    for name, parameter in known.items():
        if parameter.default is not inspect.Parameter.empty:
            assert (node[name] or None) == (parameter.default or None), name
