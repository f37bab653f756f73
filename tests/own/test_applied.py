"""What a data set of one's own declares of its files counts wherever its model is applied: units, other names."""

import csv
import dataclasses
import gzip
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

import eegfm
from eegfm.commands.work.stream import stream
from eegfm.contracts import EegfmError
from eegfm.export.model import write
from eegfm.runs.results import read_result, write_result
from tests.commands.test_predict import embed, predict
from tests.composed import composed
from tests.corpus import write_edf
from tests.stream_runs import SMALL, untrained_run

NAMES = ("C3", "Cz", "C4")
DECLARED = {
    "files": "{subject}/{label}.fif",
    "labels": {"from": "path"},
    "classes": {"rest": "rest", "task": "task"},
    "windows": {"cut": "end_to_end", "length_s": 2},
    "channels": list(NAMES),
    "sfreq": 200,
}
ALIASES = {"left": "C3", "middle": "Cz", "right": "C4"}
MODEL = ("model=eegm2", "task=classify", "data=synthetic", *SMALL)


def raw_of(names: tuple[str, ...], factor: float, sfreq: float = 200.0) -> mne.io.RawArray:
    data = np.random.default_rng(0).normal(0, 2e-5, (3, 2000))
    return mne.io.RawArray(data * factor, mne.create_info([*names], sfreq, "eeg"), verbose="error")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A run that has declared nothing, and a file as it should be; the same model of crooked files, and such a file."""
    place = tmp_path_factory.mktemp("applied")
    untrained_run(place / "plain", *MODEL, benchmark=DECLARED)
    untrained_run(place / "told", *MODEL, benchmark={**DECLARED, "units": {"*": "mV"}, "aliases": ALIASES})
    raw_of(NAMES, 1).save(place / "right_raw.fif", verbose="error")
    # millivolts, which the file calls volts, and names that are no electrodes
    raw_of((*ALIASES,), 1e3).save(place / "crooked_raw.fif", verbose="error")
    return place


def probabilities(path: Path) -> np.ndarray:
    with open(path, newline="") as file:
        rows = [*csv.DictReader(file)]
    return np.array([[float(row["p(rest)"]), float(row["p(task)"])] for row in rows])


def wanted(place: Path) -> np.ndarray:
    found = eegfm.load(place / "plain").predict(place / "right_raw.fif").probability
    assert len(found) == 5 and found.std(axis=0).max() > 1e-6
    return found


@pytest.mark.slow
def test_predict_embed_and_stream_read_a_file_as_its_data_set_declares_it(place, tmp_path):
    kinds = {"plain": "right", "told": "crooked"}
    vectors = []
    for run, name in kinds.items():
        common = (f"run={place / run}", "device=cpu")
        file, out = place / f"{name}_raw.fif", tmp_path / run
        predict(*common, f"files={file}", f"out={out / 'predict'}")
        embed(*common, f"files={file}", f"out={out / 'embed'}")
        stream(composed(*common, f"file={file}", f"out={out / 'stream'}", door="stream"))
        (path,) = (out / "predict" / "windows").iterdir()
        np.testing.assert_allclose(probabilities(path), wanted(place), atol=1e-5)
        (path,) = (out / "stream").glob("*.csv")
        np.testing.assert_allclose(probabilities(path), wanted(place), atol=1e-5)
        (path,) = (out / "embed" / "npz").iterdir()
        vectors.append(np.load(path)["vectors"])
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-6)


def test_a_reader_of_ones_own_opens_the_files_once_it_is_trusted(place, tmp_path):
    reader = "tests.own.readers.uci"
    run = untrained_run(
        tmp_path / "read", *MODEL, benchmark={**DECLARED, "reader": reader, "raw_sfreq": 256}
    )
    config = (run / "config.yaml").read_text()
    lines = [
        f"0 {name} {i} {value!r}"
        for name, row in zip(NAMES, (np.asarray(raw_of(NAMES, 1).get_data()) * 1e6).tolist(), strict=True)
        for i, value in enumerate(row)
    ]
    with gzip.open(tmp_path / "trial.gz", "wt") as file:
        file.write("# a trial\n" + "\n".join(lines))
    typed = (f"run={run}", f"files={tmp_path / 'trial.gz'}", "device=cpu", f"out={tmp_path / 'out'}")
    assert reader in config
    with pytest.raises(EegfmError, match=r"type trust=tests\.own\.readers"):
        predict(*typed)
    predict(*typed, "trust=tests.own.readers")
    (path,) = (tmp_path / "out" / "windows").iterdir()
    usual = eegfm.load(place / "plain").predict(raw_of(NAMES, 1, 256.0)).probability
    assert len(usual) == 3
    np.testing.assert_allclose(probabilities(path), usual, atol=1e-6)


def test_the_recordings_of_a_person_decide_together(place, tmp_path):
    """Whose they are stands in the paths, as the declaration says it ({subject}/{label}.fif), wherever these are.

    But where a label is of a recording alone, as it is until the run says otherwise, a person is asked about nothing.
    """
    for person, kinds in (("Ann", ("rest", "task")), ("Bob", ("rest",))):
        (tmp_path / "clinic" / person).mkdir(parents=True)
        for i, kind in enumerate(kinds):
            raw = raw_of(NAMES, 1 + i)
            raw.save(tmp_path / "clinic" / person / f"{kind}.fif", verbose="error")
    out, run = tmp_path / "out", tmp_path / "run"
    shutil.copytree(place / "plain", run)
    typed = (f"run={run}", f"files={tmp_path}/clinic/*/*.fif", "device=cpu")
    predict(*typed, f"out={tmp_path / 'before'}")
    assert not (tmp_path / "before" / "persons.csv").exists()
    write_result(run, dataclasses.replace(read_result(run), wholes={"person": {"rule": {"cut": 1e-9}}}))
    predict(*typed, f"out={tmp_path / 'fitted'}", "decide=fitted")
    with open(tmp_path / "fitted" / "persons.csv", newline="") as file:
        assert [row["decision"] for row in csv.DictReader(file)] == ["task", "task"]
    write_result(run, dataclasses.replace(read_result(run), wholes={"person": {}}))
    predict(*typed, f"out={out}")
    with open(out / "persons.csv", newline="") as file:
        ann, bob = csv.DictReader(file)
    assert (ann["person"], ann["recordings"], ann["windows"]) == ("Ann", "2", "10")
    assert (bob["person"], bob["recordings"], bob["windows"]) == ("Bob", "1", "5")
    rows = np.concatenate(
        [probabilities(out / "windows" / "Ann" / f"{kind}.csv") for kind in ("rest", "task")]
    )
    assert float(ann["mean p(task)"]) == pytest.approx(rows[:, 1].mean(), abs=1e-6)
    assert int(ann["windows of task"]) == int((rows[:, 1] > 0.5).sum())
    assert ann["decision"] == ("task" if rows[:, 1].mean() > 0.5 else "rest")
    predict(
        f"run={run}",
        f"files={tmp_path}/clinic/Bob/*.fif",
        "device=cpu",
        f"out={tmp_path / 'one'}",
    )
    assert not (tmp_path / "one" / "persons.csv").exists()


@pytest.mark.slow
def test_a_loaded_model_takes_them_along_and_so_does_an_exported_folder(place, tmp_path):
    write(eegfm.load(place / "told"), tmp_path / "model")
    for model in (eegfm.load(place / "told"), eegfm.load(tmp_path / "model")):
        file = place / "crooked_raw.fif"
        for recording in (file, mne.io.read_raw_fif(file, verbose="error"), raw_of((*ALIASES,), 1e3)):
            np.testing.assert_allclose(model.predict(recording).probability, wanted(place), atol=1e-5)
        # a person who has put the units right says so
        said = model.predict(raw_of((*ALIASES,), 1), units={}).probability
        np.testing.assert_allclose(said, wanted(place), atol=1e-5)
    assert "declared" not in eegfm.load(place / "plain").config


def test_the_unit_of_a_raw_is_that_of_the_numbers_in_its_file(place, tmp_path):
    """MNE has already turned the microvolts of an EDF into volts; what is declared is of the file's own numbers."""
    data = np.asarray(raw_of(NAMES, 1).get_data()) * 1e6
    write_edf(tmp_path / "as_it_is.edf", data, 200.0, names=NAMES)
    write_edf(tmp_path / "crooked.edf", data / 1e3, 200.0, names=NAMES, unit="uV")
    right = eegfm.load(place / "plain").predict(tmp_path / "as_it_is.edf").probability
    told = eegfm.load(place / "told")
    for recording in (
        tmp_path / "crooked.edf",
        mne.io.read_raw_edf(tmp_path / "crooked.edf", verbose="error"),
    ):
        np.testing.assert_allclose(told.predict(recording).probability, right, atol=2e-3)
