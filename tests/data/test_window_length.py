"""Windows of another length than the protocol's: they tile what was recorded, keep what labels they can, and say so.

The processed recording and the spans of its pieces are taken from the benchmark; how they are cut is written out here.
"""

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from eegfm.benchmarks.length import of_length
from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
from eegfm.benchmarks.physionet_mi import PHYSIONET_MI
from eegfm.benchmarks.spec import LeftOut, Window
from eegfm.benchmarks.synthetic import SYNTHETIC
from eegfm.build import build_data
from eegfm.config.identity import identity_hash
from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.data.census import leakage
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import is_there, prepare
from eegfm.data.ready import Preparation
from eegfm.data.recipe import Recipe
from eegfm.data.verifying.verify import verify
from eegfm.models.eegm2 import Eegm2
from tests import corpus
from tests.command_line import call, environment
from tests.composed import composed
from tests.contract.test_benchmarks import FORMS
from tests.corpora import corpora, made
from tests.corpus import TINY
from tests.models.eegm2 import COORDS, raw_spec
from tests.nn.tokens import randn

LENGTHS = (2.0, 30.0)
OF_RECORDINGS = {"mental_arithmetic", "mumtaz2016", "tuab", "tuab_eegm2"}  # a label is of a whole recording
CUT_UP = {
    name
    for name in FORMS
    if "published" in name and name.startswith(("bciciv2a", "chb_mit", "tuev", "stew-raw"))
}
REFUSED = CUT_UP | {"seed_v-trials"}
STATES = replace(TINY, one_label=True)  # a recording of the tiny corpus is of one class


def tiled(recording, window_s):
    """(second of the file, samples) of every window: piece by piece, end to end, what is left over dropped."""
    n = round(window_s * recording.sfreq)
    starts = [piece.start for piece in recording.pieces]
    for piece, end in zip(recording.pieces, [*starts[1:], recording.data.shape[1]], strict=True):
        first = piece.start
        while first + n <= end:
            yield (
                piece.onset_s + (first - piece.start) / recording.sfreq,
                recording.data[:, first : first + n],
            )
            first += n


def processed(benchmark, source):
    recording = benchmark.read(source)
    before = [piece.onset_s for piece in recording.pieces]
    for step in benchmark.steps:
        recording = step(recording)
    assert [piece.onset_s for piece in recording.pieces] == before, "a step that cuts must say so"
    return recording


def cases():
    seen = {"faced", "mumtaz2016", "physionet_mi", "seed_v", "tuab", "tuab_eegm2", "tuev"}  # large ones
    for name, small in corpora().items():
        if name not in REFUSED:
            marks = [pytest.mark.slow, pytest.mark.long] * (
                small.option in seen or name == "faced-published"
            )
            yield pytest.param(small, marks=marks, id=name)
            seen.add(small.option)


@pytest.mark.parametrize("small", list(cases()))
def test_windows_tile_every_recording_of_every_benchmark(small, tmp_path):
    """Equal slices of the processed signal, in its split, under its label where recordings have one."""
    (tmp_path / "raw").mkdir()
    truths = small.write(tmp_path / "raw", small.table)
    label_of = {truth.recording: truth.label for truth in truths}
    own = made(small.name)
    sources = [source for source in own.sources(tmp_path / "raw") if is_there(source)]
    recordings = {}
    for source in sources:
        try:
            recordings[source.recording] = processed(own, source)
        except LeftOut:
            continue
    for window_s in LENGTHS if small.option != "faced" else (10.0,):
        benchmark = of_length(own, window_s)
        expected = {
            source.recording: list(tiled(recordings[source.recording], window_s))
            for source in sources
            if source.recording in recordings
        }
        if not any(expected.values()):
            with pytest.raises(EegfmError, match=r"not one usable window(.|\n)*its longest stretch"):
                prepare(benchmark, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
            continue
        store = prepare(benchmark, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
        index, rows = store.index, iter(range(len(store)))
        assert benchmark.classes == (own.classes if small.option in OF_RECORDINGS else ())
        for source in sources:
            for onset_s, samples in expected.get(source.recording, []):
                row = next(rows)
                said = (index.recording[row], index.subject[row], index.split[row], index.session[row])
                assert said == (source.recording, source.subject, source.split, source.session)
                assert index.onset_s[row] == pytest.approx(onset_s, abs=1e-9)
                assert index.label[row] == (label_of[source.recording] if benchmark.classes else 0)
                np.testing.assert_array_equal(store.read([row])[0], samples.astype(np.float32))
        assert next(rows, None) is None, "more windows than fit"
        assert not leakage(index, window_s).undeclared(benchmark)
        short = [name for name, found in expected.items() if not found]
        assert {fact["recording"] for fact in store.manifest.left_out} >= set(short)


@pytest.mark.parametrize(("filled_s", "n_windows"), [(0.05, 4), (0.5, 3), (2.9, 3), (3.1, 2)])
def test_no_window_reaches_into_a_last_record_that_was_filled(filled_s, n_windows, tmp_path):
    """Of 12 s, whose filters leave no trace of what was one value; the protocol's own windows stay as published."""
    source = corpus.sources(tmp_path)[0]
    signal = corpus.signal(source)
    n = round(filled_s * 250)
    signal[:, -n:] = signal[:, -n - 1 : -n]
    corpus.write_edf(source.path, signal)
    assert TINY.read(source).filled_from_s == pytest.approx(
        math.inf if filled_s < 0.1 else 12 - (n + 1) / 250
    )
    longer = of_length(TINY, 3.0)
    assert process(longer, source, longer.steps)[1].onset_s.tolist() == [0.0, 3.0, 6.0, 9.0][:n_windows]
    if filled_s > 3:
        longest = of_length(TINY, 10.0)
        with pytest.raises(LeftOut, match=r"longest stretch without a gap is 8\.896 s"):
            process(longest, source, longest.steps)
    assert len(process(TINY, source, TINY.steps)[1].onset_s) == 6


def test_the_end_of_a_real_recording_is_not_a_window(eeg_data):
    """125 s, of which PhysioNet's software filled the last half; the protocol's own windows end before."""
    for source in PHYSIONET_MI.sources(eeg_data / "eegmmidb"):
        if is_there(source):
            longer = of_length(PHYSIONET_MI, 5.0)
            _, index = process(longer, source, longer.steps)
            assert index.onset_s.tolist() == [5.0 * i for i in range(24)]
            assert PHYSIONET_MI.read(source).filled_from_s == pytest.approx(124.5, abs=0.05)


def test_every_benchmark_has_another_length_or_says_what_to_type(tmp_path):
    for name, (_, own) in FORMS.items():
        for window_s in (2, 30, 100):
            if own.one_label and window_s == own.window_s:
                assert of_length(own, window_s) is own
                continue
            if name in REFUSED:
                with pytest.raises(EegfmError, match=r"Choose .*data\.benchmark\.(split|variant)="):
                    of_length(own, window_s)
                continue
            found = of_length(own, window_s)
            assert found.n_times == window_s * own.sfreq and found.channels == own.channels
            assert found.protocol.count("@") == 1 and f"-{window_s}s@" in found.protocol
            assert found.classes == (own.classes if found.name in OF_RECORDINGS else ())
            assert found.sources(tmp_path) == own.sources(tmp_path)
            # two of these functions are equal when they are made of the same parts
            again = pickle.loads(pickle.dumps(found)).windows.keywords
            assert repr(again) == repr(found.windows.keywords)


def test_a_store_is_another_for_every_length_and_the_old_one_without():
    """The fingerprint is that of stores from before there was a choice."""
    assert Recipe.of(of_length(MENTAL_ARITHMETIC, None)).fingerprint == "349ae950"
    assert of_length(MENTAL_ARITHMETIC, 5) is MENTAL_ARITHMETIC, "its own windows are that grid"
    lengths = (None, 2, 2.5, 30, 60, 100)
    for own in (MENTAL_ARITHMETIC, SYNTHETIC):
        assert len({Recipe.of(of_length(own, s)).fingerprint for s in lengths}) == len(lengths)
        assert (
            Recipe.of(of_length(own, 30)).fingerprint
            == Recipe.of(of_length(own, 30.0)).fingerprint
            != Recipe.of(own).fingerprint
        )
    # windows of trials, and windows of anything that are as long
    assert (
        Recipe.of(of_length(SYNTHETIC, SYNTHETIC.window_s)).fingerprint != Recipe.of(SYNTHETIC).fingerprint
    )


@pytest.mark.parametrize("window_s", [0, -2, 0.001, 2.0001, float("nan"), float("inf")])
def test_a_window_is_a_whole_number_of_samples(window_s):
    with pytest.raises(EegfmError, match=r"multiples of 0\.005 s"):
        of_length(MENTAL_ARITHMETIC, window_s)


@pytest.fixture
def raw(tmp_path):
    corpus.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_a_length_that_no_recording_has_is_a_sentence_with_the_longest(raw, tmp_path):
    with pytest.raises(EegfmError, match=r"longest stretch without a gap is 12 s.*data\.window_s=30"):
        prepare(of_length(STATES, 30), raw, tmp_path / "cache", progress=False)


def test_a_class_whose_recordings_are_too_short_is_a_warning_and_the_others_can_be_used(tmp_path):
    small = corpora()["mental_arithmetic"]
    (tmp_path / "raw").mkdir()
    small.write(tmp_path / "raw", {subject: (22, 17) for subject in (0, 28, 34)})  # rest, arithmetic
    long = of_length(MENTAL_ARITHMETIC, 20)
    places = (tmp_path / "raw", tmp_path / "cache")
    wanted = {"window_s": 20, "allow_partial": True, "progress": False}
    store = Preparation(benchmark=MENTAL_ARITHMETIC, raw=places[0], cache=places[1], **wanted).store()
    assert set(store.index.label.tolist()) == {0} and len(store.manifest.left_out) == 3
    checks = {check.name.strip(): check for check in verify(long, *places, progress=False)}
    assert "none of arithmetic" in checks["train"].found and checks["train"].verdict == "warning"


def test_windows_of_a_recording_that_the_protocol_does_not_use_have_no_label(raw):
    none = replace(STATES, windows=_no_windows)
    (source, *_) = none.sources(raw)
    with pytest.raises(LeftOut, match="which would say its label"):
        process(of_length(none, 1), source, none.steps)


def _no_windows(recording, source) -> list[Window]:
    return []


# ---- behind the config -----------------------------------------------------------------------------------------------


def module(benchmark, raw, cache, **options) -> EEGDataModule:
    return EEGDataModule(benchmark=benchmark, raw=raw, cache=cache, seed=0, progress=False, **options)


@pytest.mark.parametrize(
    ("benchmark", "classes"), [(STATES, TINY.classes), (TINY, ())], ids=["states", "trials"]
)
def test_the_data_module_serves_windows_of_the_length_that_its_spec_says(benchmark, classes, raw, tmp_path):
    data = module(benchmark, raw, tmp_path / "cache", window_s=6, batch_size=4)
    assert data.spec.shape == (4, 1200) and data.spec.classes == classes
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    assert batch.x.shape == (4, 4, 1200)  # two recordings of twelve seconds
    assert batch.key == ["S04_0/0s", "S04_0/6s", "S04_1/0s", "S04_1/6s"]
    assert batch.label.tolist() == ([0, 0, 1, 1] if classes else [0, 0, 0, 0])
    facts = data.provenance()
    assert facts.window_s == 6 and facts.protocol == "tests-6s@1"
    # what a test split is cut from must not depend on the length
    shorter = module(benchmark, raw, tmp_path / "cache", window_s=1)
    shorter.prepare_data()
    assert shorter.open().index.split.shape == (120,)
    assert shorter.provenance().subjects == facts.subjects
    own = module(benchmark, raw, tmp_path / "cache")
    own.prepare_data()
    own.open()
    assert own.provenance().window_s is None and own.provenance().subjects == facts.subjects


def test_an_imported_store_has_no_other_length(tmp_path):
    data = module(STATES, tmp_path, tmp_path, window_s=6, imported=True)
    with pytest.raises(EegfmError, match=r"data\.imported=true .* data\.window_s"):
        data.prepare_data()


def identity(*overrides):
    plain = OmegaConf.to_container(composed(*overrides), resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return identity_hash(plain)


def test_each_length_gives_a_run_a_name_of_its_own():
    base = ("model=stamp", "data=mental_arithmetic")
    names = {identity(*base, f"data.window_s={s}") for s in (2, 30, 60)}
    assert len(names | {identity(*base)}) == 4


def test_unlabelled_windows_are_for_reconstruction_alone():

    def task_of(*choices):
        config = composed("model=eegm2", "data.window_s=30", "model.width_scale=8", *choices)
        spec = build_data(config).spec
        assert spec.shape[1] == 6000
        return make(config.task, "task")(make(config.model, "model")(spec), spec)

    for task in ("classify", "probe"):
        with pytest.raises(EegfmError, match="at least two classes, and this data set names 0"):
            task_of("data=synthetic", f"task={task}")
        assert task_of("data=mental_arithmetic", f"task={task}").monitor[0] == "auroc"
    assert task_of("data=synthetic", "task=reconstruct").monitor[0] == "loss"


@pytest.mark.parametrize("mixer", ["mamba2", "convolution"])
@pytest.mark.parametrize("window_s", [2, 10, 30, 60, 100])
def test_eegm2_takes_every_length_at_200_hz(window_s, mixer):
    spec = raw_spec(2, round(window_s * 200))
    with torch.device("meta"):
        Eegm2(spec, mixer=mixer)
    if mixer == "mamba2" and window_s in (2, 100):
        with torch.no_grad():
            x = randn(1, *spec.shape)
            assert Eegm2(spec, width_scale=8)(x, COORDS[:2]).shape == x.shape


# ---- real recordings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recording", ["Subject02_1", "Subject02_2", "Subject04_1", "Subject31_1", "Subject35_2"]
)
def test_long_windows_of_real_recordings_are_plain_mnes(eeg_data, recording):
    root = eeg_data / "mental_arithmetic_eegmat"
    (source,) = [s for s in MENTAL_ARITHMETIC.sources(root) if s.recording == recording]
    raw = mne.io.read_raw_edf(source.path, preload=True, verbose="error")
    length = raw.n_times  # at 500 Hz
    raw.pick([f"EEG {name}" for name in MENTAL_ARITHMETIC.channels]).resample(200, verbose="error")
    for window_s in (30, 60):
        benchmark = of_length(MENTAL_ARITHMETIC, window_s)
        windows, index = process(benchmark, source, benchmark.steps)
        assert len(windows) == length // (500 * window_s)
        assert index.onset_s.tolist() == [float(window_s * i) for i in range(len(windows))]
        assert set(index.label.tolist()) == {int(recording[-1]) - 1}
        for i, window in enumerate(windows):
            expected = raw.get_data(units="uV", start=i * 200 * window_s, stop=(i + 1) * 200 * window_s)
            np.testing.assert_allclose(window, expected, rtol=0, atol=1e-4)


# ---- the whole way ---------------------------------------------------------------------------------------------------


def eegfm(folder: Path, command: str, *arguments: str, status: int = 0) -> str:
    places = [
        f"paths.{name}={folder / name}" for name in ("raw", "cache", *(["runs"] * (command == "train")))
    ]
    arguments += tuple(places if command != "report" else ())
    done = call("eegfm", command, *arguments, cwd=folder, env=environment(COLUMNS="160"))
    assert done.returncode == status, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_from_thirty_seconds_to_a_report(tmp_path):
    """Pre-training on 30 s and on 100 s, then what the other commands say of such windows."""
    options = ["model=eegm2", "task=reconstruct", "model.width_scale=8"]
    few = ["data=synthetic", "data.batch_size=2", "trainer=smoke", "trainer.max_epochs=1"]
    for window_s in (30, 100):
        eegfm(tmp_path, "train", *options, *few, f"data.window_s={window_s}")
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("result.json")]
    counts = {r["benchmark"]["window_s"]: r["benchmark"]["census"] for r in results}
    # five minutes a subject, eight subjects train and three each are for the rest
    assert counts == {
        30.0: {"train": [80], "val": [30], "test": [30]},
        100.0: {"train": [24], "val": [9], "test": [9]},
    }
    said = eegfm(tmp_path, "report", str(tmp_path / "runs"))
    words = " ".join(said.split())
    assert "OTHER WINDOWS than the published ones: 30 s" in words and "eegfm-synthetic-100s@1" in words
    said = eegfm(tmp_path, "verify", "data=synthetic", "data.window_s=30")
    assert "0 off" in said and "eegfm-synthetic-30s@1" in said
    eegfm(tmp_path, "inspect", "data=synthetic", "data.window_s=30", "out=page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "OTHER WINDOWS" in page and "no labels" in page and "unlabelled" in page
