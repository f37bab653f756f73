"""`eegfm predict` and `eegfm embed`: trained runs on files, through the real commands and from Python."""

import csv
import dataclasses
import json
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

import eegfm
from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.benchmarks.tuh import ELECTRODES
from eegfm.build import build_data, trained
from eegfm.commands.work import embed as embedding
from eegfm.commands.work import predict as predicting
from eegfm.commands.work.recordings import recordings_of
from eegfm.config.mistakes import for_hydra
from eegfm.contracts import EegfmError
from eegfm.runs.place import Place
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result, write_result
from eegfm.signal.montage import TEN_TEN
from eegfm.support.files import uncelled
from tests.command_line import call
from tests.composed import composed
from tests.stream_runs import SMALL, untrained_run, write_recording
from tests.writers_gap import GAP_S, write_with_gap

QUICK = ("trainer.max_epochs=1", "trainer.limit_train_batches=2")
MODELS = {
    "bandpower": ("model=bandpower",),
    "stamp": ("model=stamp", "encoder=spectrum", "model.depth=1", *QUICK),
    "eegm2": ("model=eegm2", "task=classify", *SMALL, *QUICK),
    "samba": ("model=samba", "task=classify", *SMALL, *QUICK),
    "probe": ("model=eegm2", "task=probe", *SMALL, "task.head=knn"),
}
TUAB = ("data=tuab", "model=stamp", "encoder=spectrum", "model.depth=1", "model.width=16", "model.ff_width=16",
        "model.input_norm=instance")  # fmt: skip


def predict(*overrides: str) -> None:
    """The command without its process: errors come as they are raised."""
    predicting.predict(composed(*(for_hydra(one, "predict") for one in overrides), door="predict"))


def embed(*overrides: str) -> None:
    embedding.embed(composed(*overrides, door="embed"))


def failing(command, *overrides: str) -> None:
    with pytest.raises(SystemExit) as left:
        command(*overrides)
    assert left.value.code == 1


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    return {uncelled(row["recording"]): row for row in table(folder / "recordings.csv")}


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Runs as training leaves them, with weights as they are drawn."""
    folder = tmp_path_factory.mktemp("predict")
    untrained_run(folder / "eegm2", *MODELS["eegm2"], "data=synthetic")
    untrained_run(folder / "samba", *MODELS["samba"], "data=synthetic")
    store_told(untrained_run(folder / "tuab", *TUAB))
    untrained_run(folder / "pretrained", "model=eegm2", "task=reconstruct", "data=synthetic", *SMALL)
    return folder


def store_told(run: Path) -> None:
    """Let the result of a run without training name the store that its encoder makes."""
    (part,) = build_data(Place.of(run).config).corpora.values()
    result = read_result(run)
    facts = dataclasses.replace(result.benchmark, fingerprint=part.recipe.fingerprint)
    write_result(run, dataclasses.replace(result, benchmark=facts))


def logits_of(run: Path, x: np.ndarray, coords: np.ndarray) -> np.ndarray:
    """Probabilities of windows by the run's own task, built anew."""
    built = trained(Place.of(run).config, Place.of(run))
    with torch.no_grad():
        found = built.task.eval()(torch.from_numpy(x), torch.tensor(coords, dtype=torch.float32)).sigmoid()
    return np.concatenate([1 - found.numpy(), found.numpy()], axis=1)


# ---- the run's own predictions ---------------------------------------------------------------------------------------


def check_against_its_own(run: Path, files: list[Path], hop_s: float, tmp_path: Path, rtol: float) -> None:
    """Tables, Python's and vectors of the test recordings against `predictions_test.csv`, window by window."""
    own = read_predictions(run / "predictions_test.csv")
    listed = f"files=[{','.join(map(str, files))}]"
    predict(f"run={run}", listed, f"hop_s={hop_s}", f"out={tmp_path / 'p'}", "device=cpu")
    embed(f"run={run}", listed, f"hop_s={hop_s}", f"out={tmp_path / 'e'}", "device=cpu")
    task = trained(Place.of(run).config, Place.of(run)).task
    checked = 0
    for file in files:
        recording = file.name.removesuffix("_raw.fif").removesuffix(".edf")
        mine = {
            float(key.rpartition("/")[2].removesuffix("s")): row
            for key, row in zip(own.keys, own.probabilities, strict=True)
            if key.rpartition("/")[0] == recording
        }
        rows = table(tmp_path / "p" / "windows" / f"{file.stem}.csv")
        seconds = column(rows, "second").tolist()
        at = [seconds.index(second) for second in mine]
        wanted = np.array([*mine.values()])
        found = np.stack([column(rows, f"p({name})") for name in own.classes], axis=1)
        np.testing.assert_allclose(found[at], wanted, rtol=0, atol=rtol)
        arrays = np.load(tmp_path / "e" / "npz" / f"{file.stem}.npz")
        assert arrays["second"].tolist() == seconds and str(arrays["recording"]) == file.stem
        vectors = arrays["vectors"][at]
        if hasattr(task, "head") and not isinstance(task.head, torch.nn.Module):
            from_vectors = task.head.probabilities(vectors)
        elif hasattr(task, "head"):
            with torch.no_grad():
                one = task.head(torch.from_numpy(vectors)).sigmoid().numpy()
            from_vectors = np.concatenate([1 - one, one], axis=1)
        else:
            from_vectors = task.backbone.estimator.predict_proba(vectors)
        np.testing.assert_allclose(from_vectors, wanted, rtol=0, atol=rtol)
        if not (run.name.startswith("knn")):
            raw = mne.io.read_raw(file, preload=True, verbose="error")
            for what in (file, raw):
                python = eegfm.load(run).predict(what, hop_s=hop_s)
                assert python.second.tolist() == seconds and python.recording == file.stem
                np.testing.assert_allclose(python.probability[at], wanted, rtol=0, atol=rtol)
        checked += len(mine)
    assert checked == len(own.keys) > 0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name not in ("stamp", "bandpower")))
        for name in MODELS
    ],
)
def test_predictions_are_the_runs_own_window_by_window(name, simulated, tmp_path):
    """Of a model of every kind, on the simulated recordings that it was tested on."""
    done = call("eegfm", "train", *MODELS[name], "data=synthetic", f"paths.runs={tmp_path}", cwd=simulated)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "single").iterdir()
    run = run.rename(tmp_path / ("knn" if name == "probe" else name))
    files = sorted((simulated / "data" / "raw" / "synthetic").glob("*S1[234]_raw.fif"))
    # trials of 4 s begin at 1, 6, 11 ... s
    check_against_its_own(run, files, 1.0, tmp_path, rtol=1e-5)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS])
def test_predictions_of_real_recordings_are_the_runs_own(name, eeg_data, tmp_path_factory, tmp_path):
    raw = tmp_path_factory.getbasetemp() / "eegmat"
    if not raw.is_dir():
        raw.mkdir()
        for subject in ("02", "03", "28", "32", "33"):
            for part in (1, 2):
                file = f"Subject{subject}_{part}.edf"
                (raw / file).symlink_to(eeg_data / "mental_arithmetic_eegmat" / file)
    cache = raw.with_name("eegmat-cache")
    done = call(
        "eegfm", "train", *MODELS[name], "data=mental_arithmetic", f"data.raw={raw}", "data.allow_partial=true",
        f"paths.cache={cache}", f"paths.runs={tmp_path}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "single").iterdir()
    run = run.rename(tmp_path / ("knn" if name == "probe" else name))
    files = sorted(raw.glob("Subject3[23]_?.edf"))
    check_against_its_own(run, files, 5.0, tmp_path, rtol=1e-5)


# ---- files as they are in life ---------------------------------------------------------------------------------------


def test_a_pattern_takes_no_file_that_is_no_recording_and_says_so(tmp_path, capsys):
    """Events beside a recording, its second part, and the samples that a header names; a name alone stays itself."""
    raw = mne.io.RawArray(np.zeros((1, 400)), mne.create_info(["Cz"], 200.0, "eeg"), verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    mne.write_events(tmp_path / "a-eve.fif", np.array([[10, 0, 1]]), verbose="error")
    mne.EvokedArray(np.zeros((1, 40)), raw.info).save(tmp_path / "a-ave.fif", verbose="error")
    (tmp_path / "a_raw-1.fif").write_bytes((tmp_path / "a_raw.fif").read_bytes())
    (tmp_path / "b.vhdr").write_text("DataFile=b.eeg")
    (tmp_path / "b.eeg").write_bytes(b"")
    (tmp_path / "b_channels.tsv").write_text("name")
    assert [*recordings_of(f"{tmp_path}/*")] == ["a_raw", "b"]
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "5 files are no recordings: a-ave.fif (events, averages, covariances or the like, by its name)"
        in said
    )
    assert [path.name for path in recordings_of([f"{tmp_path}/*.eeg", f"{tmp_path}/a-eve.fif"]).values()] == [
        "b.eeg", "a-eve.fif",
    ]  # fmt: skip
    assert [*recordings_of(f"{tmp_path}/*.tsv")] == [
        "b_channels"
    ]  # a function of somebody's own may read it
    with pytest.raises(EegfmError, match="there is no such file"):
        recordings_of(f"{tmp_path}/*-eve.fif")


def test_recordings_whose_names_differ_at_the_end_are_told_apart_on_a_narrow_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    names = [f"record-[2012.07.06-19.0{i}.14]_raw" for i in (2, 6)]
    predicting._show(dict.fromkeys(names, "is at 250 Hz"), "mean")
    first = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(first) == "".join(names)


def test_a_bad_file_is_a_row_with_its_reason_and_the_others_go_on(made, tmp_path, capsys):
    """Another rate, a missing channel, a file shorter than a window, one that is none, and a gap."""
    write_recording(
        tmp_path / "good.edf", [f"EEG {name}-REF" for name in (*CHANNELS[::-1], "ECG")], 200, 13
    )
    write_recording(tmp_path / "rate.edf", [*CHANNELS], 250, 13)
    write_recording(tmp_path / "lacks.edf", [name for name in CHANNELS if name != "Cz"], 200, 13)
    write_recording(tmp_path / "short.edf", [*CHANNELS], 200, 3)
    (tmp_path / "text.edf").write_text("no recording")
    data = 20 * np.random.default_rng(0).standard_normal((len(CHANNELS), 200 * 20))
    write_with_gap(tmp_path / "gap.edf", data, CHANNELS, first_s=11)
    failing(predict, f"run={made / 'eegm2'}", f"files={tmp_path}/*.edf", f"out={tmp_path / 'out'}")
    said = " ".join(capsys.readouterr().out.split())
    assert "4 of 6 recordings could not be predicted: lacks, rate, short, text" in said
    assert "SIMULATED" not in said  # made_run's facts are those of a corpus of people
    rows = rows_of(tmp_path / "out")
    assert [*rows] == ["gap", "good", "lacks", "rate", "short", "text"]
    assert "lacks 1 of the 19 channels of this run: Cz." in rows["lacks"]["failed"]
    assert "is at 250 Hz, and the model reads 200 Hz" in rows["rate"]["failed"]
    assert "stretch without a gap is 3 s" in rows["short"]["failed"]
    assert "text.edf" in rows["text"]["failed"] and rows["text"]["decision"] == ""
    windows = tmp_path / "out" / "windows"
    assert sorted(path.name for path in windows.iterdir()) == ["gap.csv", "good.csv"]
    assert column(table(windows / "gap.csv"), "second").tolist() == [0, 4, GAP_S + 11, GAP_S + 15]
    good = table(windows / "good.csv")
    assert column(good, "second").tolist() == [0, 4, 8] and column(good, "window").tolist() == [0, 1, 2]
    assert rows["good"]["windows"] == "3" and rows["good"]["failed"] == ""
    raw = mne.io.read_raw_edf(tmp_path / "good.edf", preload=True, verbose="error")
    x = raw.get_data([f"EEG {name}-REF" for name in CHANNELS])[:, :2400] * 1e6
    x = x.reshape(19, 3, 800).swapaxes(0, 1).astype(np.float32)
    coords = trained(Place.of(made / "eegm2").config, Place.of(made / "eegm2")).data.spec.montage.coords
    wanted = logits_of(made / "eegm2", x, coords)
    found = np.stack([column(good, "p(left)"), column(good, "p(right)")], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    decision = ["left", "right"][int(wanted.mean(axis=0)[1] > 0.5)]
    assert rows["good"]["decision"] == decision
    assert rows["good"]["decided_by"] == "mean probability of the windows"
    assert float(rows["good"]["mean p(left)"]) == pytest.approx(wanted[:, 0].mean(), abs=1e-6)
    votes = [int(rows["good"][f"windows of {name}"]) for name in ("left", "right")]
    assert votes == [int((wanted[:, 1] <= 0.5).sum()), int((wanted[:, 1] > 0.5).sum())]


def test_steps_of_the_run_bring_other_rates_and_electrodes_to_its_own(made, tmp_path):
    """TUAB's: resampled, filtered, bipolar; a file of another name of the reference."""
    file = write_recording(tmp_path / "clinic.edf", [f"EEG {name}-LE" for name in ELECTRODES], 256, 35)
    predict(f"run={made / 'tuab'}", f"files={file}", f"out={tmp_path / 'out'}", "decide=vote")
    assert column(table(tmp_path / "out" / "windows" / "clinic.csv"), "second").tolist() == [0, 10, 20]
    about = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert [step.partition("(")[0] for step in about["steps"]] == [
        "Resample",
        "BandPass",
        "Notch",
        "Bipolar",
    ]
    assert about["decided_by"] == "vote of the windows" and about["window_s"] == 10
    assert about["trained_on_windows"] == "end to end"
    python = eegfm.load(made / "tuab").predict(file)
    rows = table(tmp_path / "out" / "windows" / "clinic.csv")
    np.testing.assert_allclose(python.probability[:, 1], column(rows, "p(abnormal)"), atol=1e-6)
    assert rows_of(tmp_path / "out")["clinic"]["decision"] == python.decision("vote")
    failing(predict, f"run={made / 'tuab'}", f"files={file}", f"out={tmp_path / 'none'}", "steps=none")
    assert "lacks 16 of the 16 channels" in rows_of(tmp_path / "none")["clinic"]["failed"]


def test_another_encoder_than_the_runs_is_refused(made, tmp_path):
    file = write_recording(tmp_path / "clinic.edf", [f"EEG {name}-LE" for name in ELECTRODES], 256, 12)
    other = untrained_run(tmp_path / "other", *TUAB)
    for command in (predict, embed):
        with pytest.raises(
            EegfmError, match=r"trained on the store 0123abcd, and the encoder spectrum .*make"
        ):
            command(f"run={other}", f"files={file}")


def test_samba_takes_any_montage_and_others_refuse_by_name(made, tmp_path):
    file = write_recording(tmp_path / "cap.edf", [f"{name}." for name in TEN_TEN if name != "Fz"], 200, 9)
    out = tmp_path / "out"
    predict(f"run={made / 'samba'}", f"files={file}", f"out={out}")
    rows = table(out / "windows" / "cap.csv")
    python = eegfm.load(made / "samba").predict(file)
    assert len(python.channels) == 63 and python.channels["Iz."] == "Iz"
    np.testing.assert_allclose(python.probability[:, 0], column(rows, "p(left)"), atol=1e-6)
    # with the missing electrode the run's own channels are taken, not all
    whole = write_recording(tmp_path / "whole.edf", [*TEN_TEN], 200, 9)
    assert [*eegfm.load(made / "samba").predict(whole).channels] == [*CHANNELS]
    failing(predict, f"run={made / 'eegm2'}", f"files={file}", f"out={tmp_path / 'eegm2'}")
    assert "lacks 1 of the 19 channels of this run: Fz." in rows_of(tmp_path / "eegm2")["cap"]["failed"]


def test_annotations_and_events_are_the_stretches_of_one_decision(made, tmp_path):
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 60)
    out = tmp_path / "out"
    predict(f"run={made / 'samba'}", f"files={file}", f"out={out}", "hop_s=1", "annotate=true")
    rows = table(out / "windows" / "a.csv")
    raw = mne.io.read_raw_edf(file, verbose="error")
    raw.set_annotations(mne.read_annotations(out / "annotations" / "a-annot.fif"))
    notes = raw.annotations
    assert notes.onset[0] == 0 and notes.onset[-1] + notes.duration[-1] == 60
    for row in rows:
        (held,) = np.flatnonzero(
            (notes.onset <= float(row["second"])) & (float(row["second"]) < notes.onset + notes.duration)
        )
        assert notes.description[held] == row["decision"]
    with open(out / "events" / "a_events.tsv", newline="", encoding="utf-8") as opened:
        events = list(csv.DictReader(opened, dialect="excel-tab"))
    assert [event["trial_type"] for event in events] == notes.description.tolist()
    np.testing.assert_allclose(column(events, "onset"), notes.onset)


# ---- names, folders, and what cannot work ----------------------------------------------------------------------------


def test_the_same_call_writes_the_same_bytes_and_another_has_a_folder_of_its_own(made, tmp_path):
    for place in ("s1", "s2"):
        (tmp_path / place).mkdir()
        write_recording(tmp_path / place / "rec [1].edf", [*CHANNELS], 200, 9, seed=len(place))
    typed = (f"run={made / 'samba'}", f"files={tmp_path}/*/*.edf", "annotate=true")
    predict(*typed)
    (folder,) = (made / "samba" / "predict").iterdir()
    assert {*rows_of(folder)} == {"s1/rec [1]", "s2/rec [1]"}
    assert (folder / "windows" / "s2" / "rec %5B1%5D.csv").is_file()
    before = everything(folder)
    predict(*typed)
    assert everything(folder) == before
    predict(*typed, "hop_s=2")
    assert len([*(made / "samba" / "predict").iterdir()]) == 2 and everything(folder) == before
    # a path that is there is itself, though it looks like a pattern
    predict(f"run={made / 'samba'}", f"files={tmp_path}/s1/rec [1].edf", f"out={tmp_path / 'out'}")
    assert [*rows_of(tmp_path / "out")] == ["rec [1]"]
    once = everything(tmp_path / "out")
    with pytest.raises(EegfmError, match=r"out holds other files, or was made from other recordings"):
        predict(*typed, f"out={tmp_path / 'out'}")
    assert everything(tmp_path / "out") == once
    with pytest.raises(EegfmError, match="s1 holds other files"):
        predict(*typed, f"out={tmp_path / 's1'}")
    assert [path.name for path in (tmp_path / "s1").iterdir()] == ["rec [1].edf"]


def test_nothing_is_written_through_a_link(made, tmp_path):
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 9)
    typed = (f"run={made / 'samba'}", f"files={file}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "linked").symlink_to(elsewhere)
    with pytest.raises(EegfmError, match="linked is a symbolic link"):
        predict(*typed, f"out={tmp_path / 'linked'}")
    predict(*typed, f"out={tmp_path / 'out'}")
    (tmp_path / "out" / "windows" / "a.csv").unlink()
    (tmp_path / "out" / "windows").rmdir()
    (tmp_path / "out" / "windows").symlink_to(elsewhere)
    failing(predict, *typed, f"out={tmp_path / 'out'}")
    assert "windows is a symbolic link" in rows_of(tmp_path / "out")["a"]["failed"]
    assert not [*elsewhere.iterdir()]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run={made}/eegm2"], "Name the recordings: files="),
        (["run={made}/eegm2", "files={here}/no*.edf"], r"files=.*no\*\.edf: there is no such file"),
        (["run={made}/eegm2", "files={here}"], r"is a folder\. Say which of its files: files='.*/\*\.edf'"),
        (["run={made}/nowhere", "files={file}"], "nowhere: wanted a run folder"),
        (["run={made}/eegm2", "files={file}", "hop_s=soon"], "hop_s=soon: the seconds"),
        (["run={made}/eegm2", "files={file}", "decide=median"], "decide=median: one of these is wanted: mean, vote"),
        (["run={made}/eegm2", "files={file}", "steps=tuab"], "steps=tuab: there are no such steps.* run, none"),
        (["run={made}/pretrained", "files={file}"], r"tells no classes apart: .*eegfm embed gives its vectors"),
    ],
)  # fmt: skip
def test_what_a_person_can_put_right_is_a_sentence(made, overrides, sentence, tmp_path):
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 9)
    with pytest.raises(EegfmError, match=sentence):
        predict(*(override.format(made=made, here=tmp_path, file=file) for override in overrides))
    assert not (made / "eegm2" / "predict").exists()


def test_a_checkpoint_alone_says_that_nobody_knows_what_it_was_trained_on(made, tmp_path, capsys):
    folder = untrained_run(tmp_path / "unfinished", *MODELS["eegm2"], "data=synthetic")
    (folder / "result.json").unlink()
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 9)
    with pytest.raises(EegfmError, match=r"No finished run .*unfinished"):
        predict(f"run={folder}", f"files={file}")
    predict(f"run={folder}/checkpoints/best.ckpt", f"files={file}")
    assert "UNKNOWN: no finished run says what these weights" in capsys.readouterr().out
    (written,) = (folder / "checkpoints" / "predict").glob("*/predict.json")
    assert json.loads(written.read_text())["warnings"] == [
        "UNKNOWN: no finished run says what these weights were trained on"
    ]


# ---- embed -----------------------------------------------------------------------------------------------------------


def test_vectors_are_those_of_the_backbone_and_of_its_encoder(made, tmp_path):
    file = write_recording(tmp_path / "clinic.edf", [f"EEG {name}-LE" for name in ELECTRODES], 256, 35)
    embed(f"run={made / 'tuab'}", f"files={file}", f"out={tmp_path / 'out'}")
    arrays = np.load(tmp_path / "out" / "npz" / "clinic.npz")
    assert arrays["vectors"].shape == (3, 16) and arrays["vectors"].dtype == np.float32
    assert arrays["second"].tolist() == [0, 10, 20] and len(arrays["channels"]) == 16
    assert arrays["channels"][0] == "FP1-F7" and arrays["window_s"] == 10
    built = trained(Place.of(made / "tuab").config, Place.of(made / "tuab"))
    embed(f"run={made / 'tuab'}", f"files={file}", "of=encoder", f"out={tmp_path / 'encoder'}")
    tokens = np.load(tmp_path / "encoder" / "npz" / "clinic.npz")["vectors"]
    assert tokens.shape == (3, built.data.encoder.width)
    arrow = pytest.importorskip("pyarrow.parquet")
    read = arrow.read_table(tmp_path / "out" / "parquet" / "clinic.parquet")
    assert read.column_names == ["recording", "window", "second", "vector"]
    np.testing.assert_array_equal(np.array(read["vector"].to_pylist(), dtype=np.float32), arrays["vectors"])
    assert read["second"].to_pylist() == [0, 10, 20] and read["recording"].to_pylist() == ["clinic"] * 3
    assert json.loads(read.schema.metadata[b"channels"]) == arrays["channels"].tolist()
    before = everything(tmp_path / "out")
    embed(f"run={made / 'tuab'}", f"files={file}", f"out={tmp_path / 'out'}")
    assert everything(tmp_path / "out") == before


def test_vectors_of_a_pretrained_backbone_need_no_classes(made, tmp_path):
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 9)
    write_recording(tmp_path / "b.edf", [*CHANNELS], 250, 9)
    failing(embed, f"run={made / 'pretrained'}", f"files={tmp_path}/*.edf", f"out={tmp_path / 'out'}")
    rows = rows_of(tmp_path / "out")
    assert rows["a"]["windows"] == "2" and "is at 250 Hz" in rows["b"]["failed"]
    vectors = np.load(tmp_path / "out" / "npz" / "a.npz")["vectors"]
    assert vectors.shape == (2, int(rows["a"]["width"]))
    portable = eegfm.load(made / "pretrained")
    raw = mne.io.read_raw_edf(file, preload=True, verbose="error")
    x = (raw.get_data([*CHANNELS])[:, :1600] * 1e6).reshape(19, 2, 800).swapaxes(0, 1)
    with torch.no_grad():
        wanted = portable.embed(torch.from_numpy(x.astype(np.float32)))
    np.testing.assert_allclose(vectors, wanted.numpy(), atol=1e-5)


def test_an_encoder_needs_no_run(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 9)
    embed("encoder=spectrum", "data=synthetic", f"files={file}", "paths.runs=runs")
    (folder,) = (tmp_path / "runs" / "embed").iterdir()
    vectors = np.load(folder / "npz" / "a.npz")["vectors"]
    assert vectors.shape == (2, 45) and json.loads((folder / "embed.json").read_text())["warnings"] == []
    with pytest.raises(EegfmError, match=r"Name a run: .* data=<benchmark>"):
        embed("encoder=spectrum", f"files={file}")
    with pytest.raises(EegfmError, match=r"vectors would be those of a random network.*weights=published"):
        embed("model=cbramod", "data=synthetic", f"files={file}")
    with pytest.raises(EegfmError, match=r"of=encoder: this model reads raw windows"):
        embed(
            "model=eegm2",
            *SMALL,
            "data=synthetic",
            "of=encoder",
            f"weights={made / 'eegm2'}",
            f"files={file}",
        )
    with pytest.raises(EegfmError, match=r"weights=published: there is no .*pretrained_weights\.pth"):
        embed("model=cbramod", "data=synthetic", "weights=published", f"files={file}")
