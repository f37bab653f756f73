"""`eegfm stream`: from a trained run and a file to tables, annotations and pictures, through the real command."""

import csv
import dataclasses
import json
import subprocess
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

from eegfm.benchmarks.chb_mit import chb_mit
from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.benchmarks.tuh import ELECTRODES
from eegfm.build import build
from eegfm.commands.work.stream import stream as work
from eegfm.contracts import EegfmError
from eegfm.drawing import recordings
from eegfm.runs.place import Place
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result, write_result
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.formats.edf_writer import EdfWriter
from eegfm.tasks.events import raised
from eegfm.tasks.weights import read_state
from tests.command_line import call, call_afresh
from tests.composed import composed
from tests.stream_runs import SMALL, untrained_run, write_recording
from tests.writers_gap import GAP_S, write_with_gap

SECONDS = 100
EEGM2 = ("model=eegm2", "task=reconstruct", "data=synthetic", *SMALL)
SAMBA = ("model=samba", *EEGM2[1:])


def door(place: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call("eegfm", name, *arguments, cwd=place)


def stream(*overrides: str) -> None:
    """The command without its process and its telling: errors come as they are raised."""
    work(composed(*overrides, door="stream"))


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Runs as training leaves them, and a file of odd names in an odd order."""
    folder = tmp_path_factory.mktemp("stream")
    untrained_run(folder / "causal", *EEGM2, "model.causal=true")
    untrained_run(folder / "samba", *SAMBA, "model.causal=true")
    untrained_run(folder / "centred", *EEGM2, "task.scale=quantile")
    untrained_run(folder / "tuab", "data=tuab", "model=stamp", "encoder=spectrum", "model.depth=1",
                  "model.width=16", "model.ff_width=16", "model.input_norm=instance")  # fmt: skip
    names = [f"EEG {name}-REF" for name in (*CHANNELS[::-1], "ECG")]
    write_recording(folder / "night.edf", names, 200, SECONDS)
    write_recording(folder / "clinic.edf", [f"EEG {name}-LE" for name in ELECTRODES], 256, SECONDS)
    return folder


def one_pass(run: Path, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The whole file, in microvolts, and what the run's model makes of it at once."""
    built = build(Place.of(run).config, None)
    task, coords = built.task, torch.from_numpy(built.data.spec.montage.coords)
    task.load_state_dict(read_state(Place.of(run).checkpoint))
    x = read_edf(file, channels={f"EEG {name}-REF": name for name in CHANNELS}).data
    with torch.no_grad():
        y = task.eval()(torch.from_numpy(x.astype(np.float32))[None], coords.float())
    return x, y[0].numpy()


@pytest.mark.parametrize("run", ["causal", "samba"])
def test_a_causal_model_gives_the_recording_back_as_in_one_pass(made, run, tmp_path, capsys):
    """Errors of every second and channel, and the reconstruction itself, to the digits of an EDF file."""
    file = made / "night.edf"
    stream(f"run={made / run}", f"file={file}", f"out={tmp_path}", "edf=true", "device=cpu")
    said = capsys.readouterr().out
    assert (
        "0.03 h, 19 channels" in said
        and "one causal stream, at most 7 samples late" in said
        and "times real time, peak memory" in said
    )
    x, y = one_pass(made / run, file)
    kept = read_edf(tmp_path / "reconstruction.edf", channels=CHANNELS)
    assert kept.sfreq == 200 and np.abs(kept.data - y).max() < 0.06
    rows = table(tmp_path / "errors.csv")
    assert [row["second"] for row in rows] == [str(second) for second in range(SECONDS)]
    square = ((x - y) ** 2).reshape(len(CHANNELS), SECONDS, 200).mean(axis=2)
    np.testing.assert_allclose(column(rows, "rmse_uv"), np.sqrt(square.mean(axis=0)), rtol=1e-4)
    for name, wanted in zip(CHANNELS, square, strict=True):
        np.testing.assert_allclose(column(rows, f"rmse_uv({name})"), np.sqrt(wanted), rtol=1e-4)
    facts = json.loads((tmp_path / "stream.json").read_text())
    assert facts["stream"] == "causal" and facts["seconds"] == SECONDS and facts["unlike_eeg"] == ""
    assert facts["channels"]["EEG Fp1-REF"] == "Fp1" and facts["steps"] == []
    assert (tmp_path / "errors.png").stat().st_size > 5000


def test_seconds_far_above_the_median_error_are_annotations(made, tmp_path):
    """MNE reads them, and puts them where they are in the recording."""
    file = tmp_path / "night.edf"
    file.write_bytes((made / "night.edf").read_bytes())
    data = np.memmap(file, "<i2", mode="r+", offset=256 * 21)  # after a header of 20 signals
    records = data.reshape(SECONDS, 20, 200)
    for second in (30, 31, 60):
        records[second, 4, :] = 20_000  # two millivolts on one channel
    data.flush()
    stream(f"run={made / 'causal'}", f"file={file}", f"out={tmp_path / 'out'}", "mark=1.5", "device=cpu")
    rows = table(tmp_path / "out" / "errors.csv")
    errors = column(rows, "rmse_uv")
    facts = json.loads((tmp_path / "out" / "stream.json").read_text())
    assert facts["marked_above_uv"] == pytest.approx(1.5 * np.median(errors))
    raw = mne.io.read_raw_edf(file, verbose="error")
    notes = mne.read_annotations(tmp_path / "out" / "night-annot.fif")
    raw.set_annotations(notes)
    assert set(raw.annotations.description) == {"high error"}
    marked = {
        second
        for onset, length in zip(raw.annotations.onset, raw.annotations.duration, strict=True)
        for second in range(round(onset), round(onset + length))
    }
    assert marked == set(np.flatnonzero(errors > 1.5 * np.median(errors)).tolist())
    assert {30, 31, 60} <= marked < set(range(SECONDS))


def test_a_model_that_sees_ahead_takes_windows(made, tmp_path, capsys):
    """Also one whose scale is a window's own."""
    stream(
        f"run={made / 'centred'}", f"file={made / 'night.edf'}", f"out={tmp_path}", "hop_s=1", "device=cpu"
    )
    assert "windows of 4 s, one every 1 s, faded into one another" in capsys.readouterr().out
    assert len(table(tmp_path / "errors.csv")) == SECONDS
    assert json.loads((tmp_path / "stream.json").read_text())["hop_s"] == 1


def test_probabilities_over_time_and_runs_of_one_decision(made, tmp_path, capsys):
    """The protocol has filters, another rate and bipolar rows; the default folder is in the run's."""
    stream(f"run={made / 'tuab'}", f"file={made / 'clinic.edf'}", "hop_s=2", "device=cpu")
    out = made / "tuab" / "stream" / "clinic"
    said = capsys.readouterr().out
    assert "Resample, BandPass, Notch, Bipolar, which look 9.1 s ahead" in said and str(out) in said
    rows = table(out / "probabilities.csv")
    assert column(rows, "second").tolist() == list(range(0, SECONDS - 9, 2))
    normal, abnormal = column(rows, "p(normal)"), column(rows, "p(abnormal)")
    np.testing.assert_allclose(normal + abnormal, 1)
    decisions = [row["decision"] for row in rows]
    assert decisions == ["abnormal" if p > 0.5 else "normal" for p in abnormal]
    notes = mne.read_annotations(out / "clinic-annot.fif")
    assert notes.onset[0] == 0 and notes.onset[-1] + notes.duration[-1] == SECONDS
    np.testing.assert_allclose(notes.onset[1:], (notes.onset + notes.duration)[:-1])
    for row, decision in zip(rows, decisions, strict=True):
        (held,) = np.flatnonzero(
            (notes.onset <= float(row["second"])) & (float(row["second"]) < notes.onset + notes.duration)
        )
        assert notes.description[held] == decision
    assert (out / "probabilities.png").stat().st_size > 5000


@pytest.mark.slow
def test_alarms_of_a_detector_are_events_above_the_threshold_of_its_validation(tmp_path, capsys):
    """In the columns of SzCORE, as the table has them, and only where the corpus has a class that is an event."""
    run = untrained_run(tmp_path / "run", "data=chb_mit", "model=stamp", "encoder=spectrum", "model.depth=1",
                        "model.width=16", "model.ff_width=16", "model.input_norm=instance")  # fmt: skip
    file = write_recording(tmp_path / "night.edf", list(chb_mit().channels), 256, SECONDS)
    stream(f"run={run}", f"file={file}", "hop_s=5", f"out={tmp_path / 'before'}")
    p = column(table(tmp_path / "before" / "probabilities.csv"), "p(seizure)")
    threshold = float(np.sort(p)[-4])
    write_result(run, dataclasses.replace(read_result(run), events={"threshold": threshold}))
    stream(f"run={run}", f"file={file}", "hop_s=5", f"out={tmp_path / 'out'}")
    with open(tmp_path / "out" / "night_events.tsv", newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text, dialect="excel-tab"))
    wanted = raised(5.0 * np.arange(len(p)), p, threshold=threshold, window_s=10.0)
    assert [
        (float(r["onset"]), float(r["onset"]) + float(r["duration"])) for r in rows
    ] == wanted and wanted
    assert max(float(r["confidence"]) for r in rows) == pytest.approx(p.max(), abs=1e-5)
    assert {(r["eventType"], r["recordingDuration"]) for r in rows} == {("sz", str(SECONDS))}
    assert f"{len(wanted)} alarms (seizure above {threshold:.3g})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run={made}/causal"], "Name a recording: file=<file.edf>"),
        (["file={made}/night.edf"], "Name the run: run="),
        (["run={made}/nowhere", "file={made}/night.edf"], "nowhere: wanted a run folder"),
        (["run={made}/causal", "file={made}/nothing.edf"], r"No file at .*nothing\.edf"),
        (["run={made}/causal", "file={made}/clinic.edf"], "lacks 3 of the 19 channels of this run: Fz, Cz, Pz"),
        (["run={made}/tuab", "file={made}/clinic.edf", "steps=none"], "lacks 16 of the 16 channels"),
        (["run={made}/tuab", "file={made}/clinic.edf", "steps=some"], "steps=some: run .* or none"),
        (["run={made}/tuab", "file={made}/clinic.edf", "hop_s=11"], r"hop_s=11: .* at most one window \(10 s\)"),
        (["run={made}/tuab", "file={made}/clinic.edf", "hop_s=soon"], "hop_s=soon"),
        (["run={made}/causal", "file={made}/night.edf", "hop_s=1"], "causal model takes the recording as one"),
        (["run={made}/causal", "file={made}/night.edf", "mark=0"], "mark=0"),
        (["run={made}/centred", "export={made}/a.pt2"], r"model\.causal=true"),
    ],
)  # fmt: skip
def test_what_a_person_can_put_right_is_a_sentence(made, overrides, sentence):
    with pytest.raises(EegfmError, match=sentence):
        stream(*(override.format(made=made) for override in overrides))
    assert not (made / "causal" / "stream").exists()


def test_runs_that_cannot_stream_say_so(made, tmp_path):
    unfinished = untrained_run(tmp_path / "unfinished", *EEGM2, "model.causal=true")
    (unfinished / "result.json").unlink()
    with pytest.raises(EegfmError, match=r"No finished run .*unfinished"):
        stream(f"run={unfinished}", f"file={made / 'night.edf'}")
    stream(
        f"run={unfinished / 'checkpoints' / 'best.ckpt'}",
        f"file={made / 'night.edf'}",
        f"out={tmp_path / 'out'}",
    )
    fitted = untrained_run(tmp_path / "fitted", "model=bandpower", "data=synthetic")
    with pytest.raises(EegfmError, match="fitted in one go"):
        stream(f"run={fitted}", f"file={made / 'night.edf'}")
    mixed = untrained_run(tmp_path / "mixed", "model=eegm2", "data=mix", "data/corpora=[tuab,tuev]", *SMALL,
                          "model.causal=true")  # fmt: skip
    with pytest.raises(EegfmError, match=r"a mix of corpora.* type steps=none"):
        stream(f"run={mixed}", f"file={made / 'clinic.edf'}")


def test_a_file_in_another_unit_is_streamed_with_a_warning(made, tmp_path, capsys):
    file = write_recording(
        tmp_path / "a.edf", [f"EEG {name}-REF" for name in CHANNELS], 200, 20, gain=100.0
    )
    stream(f"run={made / 'causal'}", f"file={file}", f"out={tmp_path}", "device=cpu")
    said = capsys.readouterr().out
    assert "WARNING" in said and "EEG lies between 1 and 500 µV" in said and "allow_partial" not in said


def gap_file(path: Path, seconds: int, first_s: int) -> tuple[Path, np.ndarray]:
    data = 20 * np.random.default_rng(0).standard_normal((len(CHANNELS), 200 * seconds))
    return write_with_gap(path, data, CHANNELS, first_s=first_s), data


@pytest.mark.slow
@pytest.mark.parametrize("run", ["causal", "centred"])
@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_seconds_behind_a_gap_are_those_of_the_file(made, run, suffix, tmp_path, capsys):
    """And what is computed of each piece is what a file of this piece alone gives."""
    file, _ = gap_file(tmp_path / f"night{suffix}", 20, 8)
    stream(
        f"run={made / run}",
        f"file={file}",
        f"out={tmp_path / 'out'}",
        "edf=true",
        "mark=0.5",
        "device=cpu",
    )
    assert "1 gaps: its 2 pieces are analysed one by one" in capsys.readouterr().out
    rows = table(tmp_path / "out" / "errors.csv")
    assert column(rows, "second").tolist() == [*range(8), *range(GAP_S + 8, GAP_S + 20)]
    notes = mne.read_annotations(tmp_path / "out" / "night-annot.fif")
    assert notes.onset.tolist() == [0, GAP_S + 8] and notes.duration.tolist() == [8, 12]
    x = read_edf(file, channels=CHANNELS).data
    for name, start, stop in (("0s", 0, 8), (f"{GAP_S + 8}s", 8, 20)):
        kept = read_edf(tmp_path / "out" / f"reconstruction_{name}.edf", channels=CHANNELS).data
        assert kept.shape[1] == 200 * (stop - start)
        with EdfWriter(tmp_path / "alone.edf", CHANNELS, 200.0) as alone:
            alone.write(x[:, 200 * start : 200 * stop])
        stream(
            f"run={made / run}",
            f"file={tmp_path / 'alone.edf'}",
            f"out={tmp_path / 'b'}",
            "edf=true",
            "device=cpu",
        )
        wanted = read_edf(tmp_path / "b" / "reconstruction.edf", channels=CHANNELS).data
        assert np.abs(kept - wanted).max() < 0.3  # a digit of both, and what the digits of the copy change


def test_probabilities_know_of_gaps_and_of_pieces_that_are_too_short(made, tmp_path, capsys):
    names = [f"EEG {name}-LE" for name in ELECTRODES]
    data = 20 * np.random.default_rng(0).standard_normal((len(names), 200 * 50))
    file = write_with_gap(tmp_path / "a.bdf", data, names, first_s=7)
    stream(f"run={made / 'tuab'}", f"file={file}", f"out={tmp_path}", "device=cpu")
    said = capsys.readouterr().out
    assert "left out, since a window is longer: 1 pieces, 7 s at 0 s" in said
    rows = table(tmp_path / "probabilities.csv")
    assert column(rows, "second").tolist() == [GAP_S + second for second in (7, 17, 27, 37)]
    facts = json.loads((tmp_path / "stream.json").read_text())
    assert facts["too_short"] == [{"onset_s": 0.0, "seconds": 7.0}]
    assert [piece["onset_s"] for piece in facts["pieces"]] == [0.0, GAP_S + 7.0]
    short = write_with_gap(tmp_path / "b.bdf", data[:, : 200 * 15], names, first_s=7)
    with pytest.raises(
        EegfmError, match=r"longest stretch without a gap is 8 s after its steps, and a window .* 10 s"
    ):
        stream(f"run={made / 'tuab'}", f"file={short}", f"out={tmp_path}", "device=cpu")


def test_a_stream_judges_each_channel_of_the_whole_file(made, tmp_path, capsys):
    """Not the median over channels in the middle minute alone."""
    rng = np.random.default_rng(0)
    data = 20 * rng.standard_normal((len(CHANNELS), 200 * 100))
    data[3, :4000] = 5.0
    data[4] = data[5]
    data[6] = 1.0
    data[7] *= 100
    file = tmp_path / "a_raw.fif"

    def told() -> str:
        raw = mne.io.RawArray(data * 1e-6, mne.create_info(list(CHANNELS), 200, "eeg"), verbose="error")
        raw.save(file, overwrite=True, verbose="error", fmt="double")
        stream(f"run={made / 'causal'}", f"file={file}", f"out={tmp_path}", "device=cpu")
        return capsys.readouterr().out

    said, names = told(), CHANNELS
    assert f"one value for 20 s in 1 of 19 channels: {names[3]}" in said
    assert f"several channels: {names[4]} = {names[5]}" in said
    assert f"flat, one value from beginning to end, in 1 of 19 channels: {names[6]}" in said
    assert f"{names[7]} 1." in said and "e+03 µV" in said
    for value, sentence in ((1e30, "which no amplifier measures"), (np.nan, "NaN or infinite")):
        data[2, 19_000] = value
        with pytest.raises(EegfmError, match=f"{sentence}.* 1 of 19 channels: {names[2]}"):
            told()


@pytest.mark.parametrize("n_bins", [1, 7])
@pytest.mark.parametrize("n_classes", [2, 4, 9])
def test_pictures_take_any_number_of_classes_and_moments(n_bins, n_classes):
    """The picture tells for every class when it was the most probable one."""
    probability = np.random.default_rng(0).dirichlet(np.ones(n_classes), n_bins)
    names = [f"class {i}" for i in range(n_classes)]
    drawn = recordings.probabilities_over_time(5.0 * np.arange(n_bins), probability, names)
    drawn.draw_without_rendering()
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == names
    held = [len(area.get_paths()) > 0 for area in drawn.axes[1].collections]
    assert held == [bool((probability.argmax(axis=1) == i).any()) for i in range(n_classes)]
    rmse = 1 + np.random.default_rng(0).random((n_bins, 1 + n_classes))
    drawn = recordings.errors_over_time(
        np.arange(n_bins) * 3600.0, rmse, names, marks=[(0.0, 2.0, "high error")]
    )
    drawn.draw_without_rendering()
    np.testing.assert_allclose(drawn.axes[1].images[0].get_array(), np.log10(rmse[:, 1:].T))


# --- trained, and through the command line


@pytest.fixture(scope="module")
def place(tmp_path_factory, simulated) -> Path:
    return simulated(tmp_path_factory.mktemp("walk"))


def only_run(place: Path, name: str) -> Path:
    (folder,) = (place / "runs" / "single").glob(name)
    return folder


@pytest.mark.slow
@pytest.mark.long
def test_a_trained_classifier_says_of_a_recording_what_it_said_of_its_windows(place):
    """The run's own predictions of a test subject are found in its stream, window by window."""
    small = (
        "model.depth=1",
        "model.width=16",
        "model.ff_width=16",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
    )
    done = door(place, "train", *small)
    assert done.returncode == 0, done.stderr
    run = only_run(place, "stamp-*")
    file = "data/raw/synthetic/synthetic_S13_raw.fif"
    done = door(place, "stream", f"run={run}", f"file={file}", "hop_s=1", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert "297 windows of 4 s, one every 1 s" in done.stdout
    out = run / "stream" / "synthetic_S13_raw"
    found = {float(row["second"]): float(row["p(right)"]) for row in table(out / "probabilities.csv")}
    theirs = read_predictions(run / "predictions_test.csv")
    of_subject = [i for i, key in enumerate(theirs.keys) if key.startswith("synthetic_S13/")]
    assert len(of_subject) == 60
    for i in of_subject:
        second = float(theirs.keys[i].rpartition("/")[2].removesuffix("s"))
        assert found[second] == pytest.approx(theirs.probabilities[i, 1], abs=1e-4)
    raw = mne.io.read_raw_fif(place / file, verbose="error")
    raw.set_annotations(mne.read_annotations(out / "synthetic_S13_raw-annot.fif"))
    assert raw.annotations.onset[0] - raw.first_time == 0
    refused = door(place, "stream", f"run={run}", "file=nothing.edf")
    assert refused.returncode == 1 and "No file at" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
@pytest.mark.long
def test_a_trained_causal_model_streams_and_is_exported(place):
    done = door(
        place, "train", "trainer=smoke", "model=samba", "model.causal=true", "data.batch_size=8", *SMALL
    )
    assert done.returncode == 0, done.stderr
    run = only_run(place, "samba-*")
    write_recording(place / "night.edf", [f"EEG {name}-REF" for name in CHANNELS], 200, 30)
    done = door(place, "stream", f"run={run}", "file=night.edf", "out=here", "edf=true", "export=small.pt2")
    assert done.returncode == 0, done.stderr
    assert "small.pt2" in done.stdout and "causal stream" in done.stdout
    x, y = one_pass(run, place / "night.edf")
    assert np.abs(read_edf(place / "here" / "reconstruction.edf", channels=CHANNELS).data - y).max() < 0.06
    program = torch.export.load(place / "small.pt2")
    _, state = program.example_inputs[0]
    step, found = program.module(), []
    for piece in np.split(x[:, :800].astype(np.float32), 100, axis=1):
        back, state = step(torch.from_numpy(piece)[None], state)
        found.append(back[0].numpy())
    assert np.abs(np.concatenate(found, 1) - y[:, :800]).max() < 1e-5 * np.abs(y).max()


@pytest.mark.slow
@pytest.mark.long
def test_two_hours_take_no_more_memory_than_ten_minutes(made):
    """The peak of a process of its own, read from what it leaves; and how much faster than the recording it was."""
    peak = {}
    for minutes in (10, 120):
        file = write_recording(
            made / f"{minutes}.edf", [f"EEG {name}-REF" for name in CHANNELS], 200, 60 * minutes
        )
        place = (f"file={file}", f"out={minutes}")
        done = call_afresh("eegfm", "stream", "run=causal", *place, "device=cpu", cwd=made, timeout=900)
        assert done.returncode == 0, done.stderr
        facts = json.loads((made / f"{minutes}" / "stream.json").read_text())
        assert (
            facts["seconds"] == 60 * minutes
            and len(table(made / f"{minutes}" / "errors.csv")) == 60 * minutes
        )
        peak[minutes] = facts["peak_memory_mb"]["host"]
        print(f"{minutes} min: {facts['times_real_time']:.0f} times real time, peak {peak[minutes]:.0f} MB")
    assert peak[120] - peak[10] < 30  # the longer file alone is 55 MB, its signal in memory would be 219
    assert facts["times_real_time"] > 1
