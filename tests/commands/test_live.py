"""`eegfm stream lsl=...` against a real player of the lab streaming layer that replays a recording in real time."""

import csv
import os
import re
import time
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.build import trained
from eegfm.runs.place import Place
from tests.command_line import environment, start
from tests.commands.test_predict import logits_of
from tests.stream_runs import SMALL, untrained_run

pytestmark = pytest.mark.slow
HOP_S = 0.5
CONFIG = """[multicast]
ResolveScope = machine
[lab]
KnownPeers = {127.0.0.1}
"""


def recording(seconds: int, file: Path | None = None) -> mne.io.RawArray:
    """Noise of 200 Hz, or the channels of a real recording under the run's names, at the run's rate."""
    info = mne.create_info([*CHANNELS], 200.0, "eeg")
    if file is None:
        data = 2e-5 * np.random.default_rng(0).standard_normal((len(CHANNELS), 200 * seconds))
    else:
        raw = mne.io.read_raw_edf(file, preload=True, verbose="error").resample(200)
        data = np.tile(raw.get_data()[: len(CHANNELS)], -(-200 * seconds // raw.n_times))[
            :, : 200 * seconds
        ]
    return mne.io.RawArray(data, info, verbose="error")


def listened(
    run: Path, raw: mne.io.RawArray, seconds: float, folder: Path
) -> tuple[list[dict[str, str]], str, list[str]]:
    """Replay a recording to the command: the rows of its table, what it said, and the markers that came."""
    players = pytest.importorskip("mne_lsl.player")
    from mne_lsl import lsl

    out = folder / "out.txt"
    env = environment(LSLAPICFG=os.environ["LSLAPICFG"])
    with players.PlayerLSL(raw, chunk_size=10, name="cap", source_id="cap"), open(out, "w") as said:
        command = start(
            "eegfm", "stream", f"run={run}", "lsl=cap", f"seconds={seconds}", f"out={folder}", "device=cpu",
            *([f"hop_s={HOP_S}"] if "classify" in run.name else []), cwd=folder, out=said, env=env,
        )  # fmt: skip
        while "live on" not in out.read_text():
            assert command.poll() is None, out.read_text()
            time.sleep(0.05)
        (info,) = lsl.resolve_streams(timeout=10, name="cap-eegfm")
        inlet = lsl.StreamInlet(info)
        inlet.open_stream(timeout=10)
        markers = []
        while command.poll() is None:
            sample, _ = inlet.pull_sample(timeout=0.2)
            markers += [*sample] if sample else []
        assert command.wait() == 0, out.read_text()
    with open(folder / "live.csv", newline="") as file:
        return [*csv.DictReader(file)], out.read_text(), markers


@pytest.fixture(autouse=True)
def loopback(tmp_path, monkeypatch):
    """This machine alone, and no multicast."""
    (tmp_path / "lsl_api.cfg").write_text(CONFIG)
    monkeypatch.setenv("LSLAPICFG", str(tmp_path / "lsl_api.cfg"))


def check_classifier(
    run: Path, raw: mne.io.RawArray, seconds: float, tmp_path: Path, played: mne.io.RawArray | None = None
) -> None:
    """Hold the answers against the model's on the recording; `played`: what the player sends in its place."""
    rows, said, markers = listened(run, played or raw, seconds, tmp_path)
    n_windows = int((seconds - 4) / HOP_S) + 1
    assert len(rows) == n_windows and f"{n_windows:,} answers" in said and " 0 samples lost" in said
    assert "what it says is of the 4 s before" in said
    assert [float(row["second"]) for row in rows] == [HOP_S * i for i in range(n_windows)]
    found = np.array([[float(row[f"p({name})"]) for name in ("left", "right")] for row in rows])
    coords = trained(Place.of(run).config, Place.of(run)).data.spec.montage.coords
    data = (raw.get_data() * 1e6).astype(np.float32)
    n_times = data.shape[1]
    # the player begins again at the end
    data = np.concatenate([data, data[:, : round(200 * seconds)]], axis=1)

    def offline(first: int) -> np.ndarray:
        places = first + (200 * HOP_S * np.arange(n_windows)).astype(int)
        return logits_of(run, np.stack([data[:, at : at + 800] for at in places]), coords)

    # the command came in at some chunk of the replay; from there on every window is that of the recording
    begins = range(0, n_times, 10)
    starts = np.stack([data[:, at : at + 800] for at in begins])
    at = begins[int(np.abs(logits_of(run, starts, coords) - found[0]).max(axis=1).argmin())]
    np.testing.assert_allclose(found, offline(at), atol=1e-5)
    assert markers == [row["decision"] for row in rows][-len(markers) :] and len(markers) >= n_windows - 3
    late = np.array([float(row["late_ms"]) for row in rows])
    assert f"late by {np.median(late):.0f} ms (median), {np.quantile(late, 0.95):.0f} ms (95 %), " in said
    # by the source's own stamps, and this player's run ahead by up to a chunk of 50 ms
    assert -50 <= np.median(late) < 1000, said


def test_a_live_recording_is_answered_window_by_window_and_nothing_is_lost(tmp_path):
    run = untrained_run(tmp_path / "classify", "model=eegm2", "task=classify", "data=synthetic", *SMALL)
    check_classifier(run, recording(40), 6, tmp_path)


@pytest.mark.long
def test_what_the_data_set_declares_of_its_files_counts_for_a_replayed_one(tmp_path):
    """The player says volts of what are millivolts, and other names."""
    aliases = {f"ch{i}": name for i, name in enumerate(CHANNELS)}
    run = untrained_run(
        tmp_path / "classify", "model=eegm2", "task=classify", "data=synthetic", *SMALL,
        benchmark={
            "files": "{subject}/{label}.edf", "labels": {"from": "path"}, "classes": {"left": "l", "right": "r"},
            "windows": {"cut": "end_to_end", "length_s": 4}, "channels": [*CHANNELS], "sfreq": 200,
            "units": {"*": "mV"}, "aliases": aliases,
        },
    )  # fmt: skip
    raw = recording(60)
    played = mne.io.RawArray(
        raw.get_data() * 1e3, mne.create_info([*aliases], 200.0, "eeg"), verbose="error"
    )
    check_classifier(run, raw, 6, tmp_path, played)
    said = (tmp_path / "out.txt").read_text()
    assert "unit: mV, as the run's data set declares of its files; the stream says V" in said


def test_a_causal_model_goes_on_exactly_with_its_memory(tmp_path):
    run = untrained_run(
        tmp_path / "causal",
        "model=eegm2",
        "task=reconstruct",
        "data=synthetic",
        *SMALL,
        "model.causal=true",
    )
    raw = recording(120)
    rows, said, _ = listened(run, raw, 6, tmp_path)
    assert len(rows) in (5, 6) and " 0 samples lost" in said  # the last block waits for its end
    assert "a causal stream, at most 7 samples late" in said
    found = np.array([float(row["rmse_uv"]) for row in rows])
    built = trained(Place.of(run).config, Place.of(run))
    data, coords = (
        (raw.get_data() * 1e6).astype(np.float32),
        torch.from_numpy(built.data.spec.montage.coords),
    )
    n = 200 * len(rows)

    def offline(first: int) -> np.ndarray:
        x = data[:, first : first + n]
        with torch.no_grad():
            y = built.task.eval()(torch.from_numpy(x)[None], coords.float())[0].numpy()
        return np.sqrt(((y - x) ** 2).reshape(len(x), -1, 200).mean(axis=(0, 2)))

    assert min(np.abs(offline(at) - found).max() for at in range(0, 6000, 10)) < 1e-3


@pytest.mark.long
def test_ten_minutes_of_a_real_recording_lose_nothing(tmp_path, eeg_data):
    run = untrained_run(tmp_path / "classify", "model=eegm2", "task=classify", "data=synthetic", *SMALL)
    file = eeg_data / "mental_arithmetic_eegmat" / "Subject32_1.edf"
    check_classifier(run, recording(720, file), 600, tmp_path)


def test_what_a_live_source_cannot_have_is_a_sentence(tmp_path):
    from eegfm.commands.work.stream import stream
    from eegfm.contracts import EegfmError
    from tests.composed import composed

    def said(run: Path, *more: str) -> str:
        with pytest.raises(EegfmError) as error:
            stream(composed(f"run={run}", "lsl=cap", "device=cpu", *more, door="stream"))
        return str(error.value)

    ahead = untrained_run(tmp_path / "ahead", "model=eegm2", "task=reconstruct", "data=synthetic", *SMALL)
    assert re.search(r"which a live source does not have\. Choose a causal one", said(ahead))
    steps = untrained_run(tmp_path / "steps", "model=eegm2", "task=classify", "data=mumtaz2016", *SMALL)
    assert re.search(r"steps \(.*BandPass.*\) look ahead, .* type steps=none", said(steps))
