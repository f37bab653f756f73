"""Every check fails on a folder or a store that is wrong in just its way; all pass on what is right."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.signal

from eegfm.benchmarks.spec import BenchmarkSpec, Census, LeftOut
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleIndex, SampleStore, digests, write_store
from eegfm.data.verifying.checks import Check
from eegfm.data.verifying.gates import power_gain
from eegfm.data.verifying.verify import FILE, is_verified, last_verified, verify
from eegfm.encoders.spectrum import Spectrum
from eegfm.signal.steps import BandPass, CausalButterworth, Notch, Resample, Step
from tests import corpus
from tests.corpus import TINY

FILTERED = replace(TINY, steps=(Resample(200.0), BandPass(low=0.5, high=75), Notch(50.0)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The tiny corpus with an offset, mains at 50 Hz and white noise, so that there is something to be filtered."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for source in corpus.sources(folder):
        signal = corpus.signal(source)
        mains = 10 * np.sin(2 * np.pi * 50 * np.arange(signal.shape[1]) / 250)
        corpus.write_edf(source.path, signal + 60 + mains + 5 * rng.standard_normal(signal.shape))
    return folder


@pytest.fixture
def store(raw: Path, tmp_path: Path) -> SampleStore:
    return prepare(TINY, raw, tmp_path / "cache", progress=False)


def checked(raw: Path, benchmark: BenchmarkSpec = TINY, **options) -> dict[str, Check]:
    checks = verify(benchmark, raw, raw.parent / "cache", progress=False, **options)
    return {check.name.strip(): check for check in checks}


def off(checks: dict[str, Check], verdict: str = "off") -> set[str]:
    return {name for name, check in checks.items() if check.verdict == verdict}


def forge(
    store: SampleStore,
    windows: Callable[[np.ndarray, SampleIndex], object] = lambda windows, index: None,
    recipe: Recipe | None = None,
) -> None:
    """A store of other content that is consistent in itself: `windows` changes windows and index where they are."""
    content, index = store.read(range(len(store))), replace(store.index)
    windows(content, index)
    index = replace(index, digest=digests(content))
    recipe = recipe or store.recipe
    manifest = replace(store.manifest, fingerprint=recipe.fingerprint, recipe=recipe, windows=len(index))
    write_store(store.folder.parent / recipe.fingerprint, manifest, [(content, index)])


# ---- what is right ---------------------------------------------------------------------------------------------------


def test_what_was_prepared_passes_every_check(raw, store):
    checks = checked(raw)
    assert off(checks, "ok") == set(checks) - {"50 Hz"}
    assert off(checks, "warning") == {"50 Hz"}  # mains that the protocol leaves in


def test_filters_that_were_run_are_found(raw, tmp_path):
    prepare(FILTERED, raw, tmp_path / "cache", progress=False)
    checks = checked(raw, FILTERED)
    assert off(checks, "ok") == set(checks) >= {"offset", "50 Hz", "60 Hz", "pass-band"}


def test_a_partial_store_passes_with_warnings(raw, tmp_path):
    (raw / "S02_0.edf").unlink()
    (raw / "S03_1.edf").write_bytes(b"not an EDF file" * 40)
    prepare(TINY, raw, tmp_path / "cache", progress=False, allow_partial=True)
    checks = checked(raw)
    assert not off(checks)
    assert off(checks, "warning") >= {"raw files", "store", "unusable", "recordings", "windows", "train"}
    assert "S02_0" in checks["raw files"].found and "S03_1" in checks["unusable"].found


def test_a_corpus_without_a_store_is_opened_and_told_what_to_type(raw):
    checks = checked(raw)
    assert off(checks, "warning") == {"store"} and "eegfm prepare data=tiny" in checks["store"].remedy
    assert checks["readable"].found == "10 recordings opened"


# ---- raw files -------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_off_unless_the_store_stands_in_for_it(raw, tmp_path):
    content = (raw / "S04_1.edf").read_bytes()
    (raw / "S04_1.edf").unlink()
    assert off(checked(raw)) == {"raw files"}
    (raw / "S04_1.edf").write_bytes(content)
    prepare(TINY, raw, tmp_path / "cache", progress=False)
    (raw / "S04_1.edf").unlink()
    checks = checked(raw)
    assert off(checks) == {"raw files"} and "missing: S04_1" in checks["raw files"].found
    assert not off(checked(raw, raw_may_be_gone=True))
    for path in raw.iterdir():
        path.unlink()
    assert not off(checked(raw)), "a store without any raw file is of use"


def test_a_changed_file_is_named(raw, store):
    corpus.write_edf(raw / "S02_1.edf", corpus.signal(corpus.sources(raw)[3]), patient="Jo")
    checks = checked(raw)
    assert off(checks) == {"unchanged"} and "S02_1.edf" in checks["unchanged"].found


def test_a_file_that_the_store_does_not_know_is_named(raw, tmp_path):
    before = replace(TINY, sources=lambda root: corpus.sources(root)[1:], census=Census())
    prepare(before, raw, tmp_path / "cache", progress=False)
    checks = checked(raw, replace(TINY, census=Census()))
    assert off(checks) == {"come since"} and "S01_0" in checks["come since"].found


def test_a_copy_under_another_name_is_named(raw, tmp_path):
    shutil.copy(raw / "S01_1.edf", raw / "S05_1.edf")
    checks = checked(raw)
    assert off(checks) == {"duplicated"} and "S01_1.edf = S05_1.edf" in checks["duplicated"].found
    declared = replace(TINY, duplicates=(("S01_1", "S05_1"),))
    prepare(declared, raw, tmp_path / "cache", progress=False)
    checks = checked(raw, declared)
    assert not off(checks) and "1 groups, as declared" in checks["duplicated"].found
    assert "6 in two splits, as declared" in checks["identical"].found


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: corpus.write_edf(path, np.zeros((4, 3000))),
        pytest.param(
            lambda path: path.chmod(0),
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file"),
        ),
    ],
    ids=["truncated", "flat", "permission"],
)
def test_a_file_that_cannot_be_read_is_named(raw, spoil):
    spoil(raw / "S03_0.edf")
    checks = checked(raw)
    assert off(checks) == {"readable"} and "S03_0.edf" in checks["readable"].found


def test_a_file_that_is_not_the_published_one_is_named(raw, store):
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in raw.iterdir()}
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items())
    (raw / "SHA256SUMS.txt").write_text(listing)
    assert checked(raw)["published"].verdict == "ok"
    (raw / "SHA256SUMS.txt").write_text(listing.replace(sums["S05_0.edf"], "0" * 64))
    checks = checked(raw)
    assert off(checks) == {"published"} and "S05_0.edf" in checks["published"].found


@pytest.mark.parametrize("prepared", [True, False])
def test_a_recording_that_the_protocol_leaves_out_is_said_with_its_reason(raw, tmp_path, prepared):
    def read(source):
        if source.recording == "S02_1":
            raise LeftOut("it lacks a channel")
        return corpus.read(source)

    benchmark = replace(TINY, read=read, census=Census())
    if prepared:
        prepare(benchmark, raw, tmp_path / "cache", progress=False)
    checks = checked(raw, benchmark)
    assert not off(checks) and checks["left out"].found == "1 recordings: S02_1: it lacks a channel"


# ---- store -----------------------------------------------------------------------------------------------------------


def test_a_flipped_byte_is_found_and_its_window_named(raw, store):
    path = store.folder / "samples.mdb"
    content = bytearray(path.read_bytes())
    at = content.index(store.read([17])[0].tobytes())
    content[at + 4000] ^= 1
    path.write_bytes(content)
    checks = checked(raw)
    assert off(checks) == {"digests"}
    assert checks["digests"].found == f"1 of 60 windows have other bytes: {store.index.key(17)}"


@pytest.mark.parametrize("name", ["samples.mdb", "index.npz", "recipe.json"])
def test_a_file_of_the_store_that_is_cut_short_is_found(raw, store, name):
    os.truncate(store.folder / name, (store.folder / name).stat().st_size * 2 // 3)
    assert off(checked(raw)) == {"digests" if name == "samples.mdb" else "store"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["recipe"]["steps"][0].update(sfreq=100), "steps[0].sfreq: 100 → 200"),
        (lambda m: m.update(windows=61), "61 windows"),
        (lambda m: m["recordings"].pop(), "different recordings"),
    ],
    ids=["recipe", "windows", "recordings"],
)
def test_a_recipe_file_that_is_not_of_this_store_is_found(raw, store, change, said):
    """By the checksums; and by what it says, in a store of an earlier version, which has none."""
    manifest = json.loads((store.folder / "recipe.json").read_text())
    change(manifest)
    (store.folder / "recipe.json").write_text(json.dumps(manifest))
    checks = checked(raw, replace(TINY, census=Census()))
    assert "store" in off(checks) and "recipe.json is damaged: it has other bytes" in checks["store"].found
    (store.folder / "checksums.npz").unlink()
    checks = checked(raw, replace(TINY, census=Census()))
    assert "store" in off(checks) and said in checks["store"].found


def test_counts_that_are_not_the_censuss_are_found(raw, store):
    wrong = Census(recordings=10, windows=61, per_split={"train": 36}, per_class={"test": (7, 5)})
    checks = checked(raw, replace(TINY, census=wrong))
    assert off(checks) == {"windows", "test"}
    assert (checks["test"].found, checks["test"].wanted) == ("12 (6 6)", "(7 5)")


def test_a_class_without_a_window_to_train_on_is_off(raw, store):
    def relabel(windows, index):
        index.label[index.split == "train"] = 0

    forge(store, relabel)
    checks = checked(raw)
    assert off(checks) == {"train"} and "none of task" in checks["train"].found


def test_a_window_in_two_splits_is_found(raw, store):
    def leak(windows, index):
        windows[index.rows("test")[3]] = windows[index.rows("train")[5]]

    forge(store, leak)
    checks = checked(raw)
    assert (
        off(checks) == {"identical"}
        and "in train (S01_0/10s) and test (S05_0/6s)" in checks["identical"].found
    )


def test_a_subject_in_two_splits_is_found(raw, store):
    def rename(windows, index):
        index.subject[index.rows("test")[0]] = "01"

    forge(store, rename)
    checks = checked(raw)
    assert off(checks) == {"subjects"} and "subject 01 in train and test" in checks["subjects"].found


def test_a_label_that_is_no_class_is_found(raw, store):
    forge(store, lambda windows, index: index.label.__setitem__(0, 2))
    assert off(checked(raw)) == {"index"}


def test_values_that_are_no_numbers_are_found(raw, store):
    forge(store, lambda windows, index: windows.__setitem__((0, 0, 0), np.nan))
    checks = checked(raw)
    assert off(checks) == {"digests"} and "1 of 60 windows hold NaN" in checks["digests"].found


# ---- signal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (lambda index: np.s_[:], ["C3 ", "Cz ", "C4 ", "Pz ", "S01_0 "]),
        (lambda index: np.s_[:, 2], ["C4 "]),
        (lambda index: index.recording == "S03_1", ["S03_1 "]),
    ],
    ids=["all", "channel", "recording"],
)
def test_volts_are_found_and_named(raw, store, where, named):
    def volts(windows, index):
        windows[where(index)] *= 1e-6

    forge(store, volts)
    checks = checked(raw)
    assert off(checks) == {"amplitude"}
    assert all(name in checks["amplitude"].found for name in named)
    assert ("Cz" in checks["amplitude"].found) == ("Cz " in named)


def test_a_constant_channel_is_a_warning_that_names_it(raw, store):
    forge(store, lambda windows, index: windows.__setitem__((np.s_[:20], 1), 40.0))
    checks = checked(raw)
    assert "flat" in off(checks, "warning") and "20 of 60 windows: Cz in 20" in checks["flat"].found


@pytest.mark.parametrize(("factor", "verdict"), [(3e4, "off"), (100, "warning"), (1e-4, "warning")])
def test_one_channel_of_one_recording_is_not_hidden_by_the_others(raw, store, factor, verdict):
    """Neither the median over channels nor that over recordings shows it."""

    def spoil(windows, index):
        windows[index.recording == "S03_1", 2] *= factor

    forge(store, spoil)
    checks = checked(raw)
    assert "channels" in off(checks, verdict) and off(checks) <= {"channels"}
    assert "S03_1 C4" in checks["channels"].found and "Cz" not in checks["channels"].found


def test_a_single_sample_beyond_any_amplifier_is_found(raw, store):
    forge(store, lambda windows, index: windows.__setitem__((7, 3, 99), 1e30))
    checks = checked(raw)
    assert off(checks) == {"largest"} and "1e+30 µV, in 1 windows: Pz" in checks["largest"].found


def test_two_channels_of_the_same_samples_are_a_warning(raw, store):
    forge(store, lambda windows, index: windows.__setitem__(np.s_[:, 3], windows[:, 0]))
    checks = checked(raw)
    assert (
        "copies" in off(checks, "warning")
        and not off(checks)
        and "C3 = Pz in 60 of 60 windows" in checks["copies"].found
    )


def test_what_is_suspect_of_a_raw_file_is_told_when_it_is_prepared_and_verified(raw, tmp_path, caplog):
    """Steps hide it: an average reference makes a signal of a dead electrode."""
    source = corpus.sources(raw)[2]
    signal = corpus.signal(source)
    signal[1, : signal.shape[1] // 2] = 3.0
    corpus.write_edf(source.path, signal)
    for _ in ("before", "after"):
        found = checked(raw)["doubtful"]
        assert found.verdict == "warning"
        assert f"1 recordings: {source.recording}: one value for 6 s in 1 of 4 channels: Cz" in found.found
        with caplog.at_level("WARNING"):
            prepare(TINY, raw, tmp_path / "cache", progress=False)
        assert f"{source.recording}: one value for 6 s" in caplog.text


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ((Resample(200.0), BandPass(low=0.5, high=75)), "50 Hz"),
        ((Resample(200.0), BandPass(low=0.5, high=None), Notch(50.0)), "pass-band"),
        ((Resample(200.0), BandPass(low=None, high=75), Notch(50.0)), "offset"),
    ],
    ids=["notch", "low-pass", "high-pass"],
)
def test_a_filter_that_was_not_run_is_found(raw, tmp_path, run, name):
    made = prepare(FILTERED, raw, tmp_path / "cache", steps=run, progress=False)
    forge(made, recipe=Recipe.of(FILTERED))
    checks = checked(raw, FILTERED)
    assert off(checks) == {name} and "was not run" in checks[name].remedy


def facts(steps: Sequence[Step]) -> list[dict]:
    return Recipe.of(TINY, steps).facts["steps"]


@pytest.mark.parametrize(
    ("low", "high", "sfreq"),
    [(0.3, 75.0, 200.0), (0.5, 40.0, 250.0), (8.0, 30.0, 160.0), (1.0, None, 160.0), (None, 75.0, 160.0)],
)
def test_what_a_band_pass_stops_and_lets_through_is_what_mnes_kernel_does(low, high, sfreq):
    kernel = mne.filter.create_filter(None, sfreq, low, high, verbose=False)
    hz = np.arange(0, sfreq / 2, 0.25)
    power = np.abs(scipy.signal.freqz(kernel, worN=hz, fs=sfreq)[1]) ** 2
    said = power_gain(facts((BandPass(low=low, high=high),)), hz, sfreq)
    assert power[said == 0].max(initial=0) < 1e-4 and power[said == 1].min() > 0.95
    assert 0 < (said == 1).sum() < len(hz)


def test_a_butterworths_gain_is_the_one_of_its_polynomials_at_the_rate_it_runs_at():
    hz = np.arange(1.0, 80.0)
    b, a = scipy.signal.butter(5, (0.3, 40), "bandpass", output="ba", fs=200)
    wanted = np.abs(scipy.signal.freqz(b, a, worN=hz, fs=200)[1]) ** 2
    said = power_gain(facts((Resample(200.0), CausalButterworth(5, 0.3, 40))), hz, 1000.0)
    np.testing.assert_allclose(said, wanted, rtol=1e-4)


# ---- what is remembered ----------------------------------------------------------------------------------------------


def test_a_store_remembers_until_it_changes_or_more_is_asked_of_it(raw, store):
    assert not is_verified(store.folder, TINY)
    checks = verify(TINY, raw, store.folder.parents[1], progress=False)
    last = last_verified(store.folder, TINY)
    assert last is not None and last.ok and last.checks == checks and "eegfm" in last.versions
    assert not is_verified(store.folder, replace(TINY, census=Census(windows=61)))
    for name in ("recipe.json", "index.npz"):
        content = (store.folder / name).read_bytes()
        (store.folder / name).write_bytes(content + b" ")
        assert not is_verified(store.folder, TINY), name
        (store.folder / name).write_bytes(content)
        assert is_verified(store.folder, TINY)
    os.utime(store.folder / "samples.mdb", (1, 1))
    assert not is_verified(store.folder, TINY)


def test_a_failure_is_remembered_as_one(raw, store):
    forge(store, lambda windows, index: windows.__imul__(np.float32(1e-6)))
    checked(raw)
    last = last_verified(store.folder, TINY)
    assert last is not None and not last.ok and not is_verified(store.folder, TINY)


def module(raw: Path, **options) -> EEGDataModule:
    return EEGDataModule(
        benchmark=TINY, raw=raw, cache=raw.parent / "cache", seed=0, progress=False, **options
    )


@pytest.mark.parametrize("encoder", [None, Spectrum()], ids=["windows", "vectors"])
def test_the_first_training_verifies_and_the_next_does_not(raw, encoder):
    data = module(raw, encoder=encoder)
    data.prepare_data()
    path = raw.parent / "cache" / Recipe.of(TINY).folder / FILE
    before = path.stat().st_mtime_ns
    module(raw, encoder=encoder).prepare_data()
    assert path.stat().st_mtime_ns == before
    assert (data.open().folder == path.parent) == (encoder is None)


def test_a_store_that_does_not_pass_is_not_trained_on(raw, store):
    forge(store, lambda windows, index: windows.__imul__(np.float32(1e-6)))
    for _ in range(2):
        with pytest.raises(
            EegfmError, match=r"does not pass its check:\n- amplitude: [\s\S]*eegfm verify data=tiny"
        ):
            module(raw).prepare_data()
    assert not is_verified(store.folder, TINY)


def test_a_store_is_trained_on_without_its_raw_files(raw, store):
    (raw / "S01_0.edf").unlink()
    module(raw).prepare_data()
    assert is_verified(store.folder, TINY)


def test_a_fuller_store_in_the_place_of_a_partial_one_is_verified_anew(raw):
    content = (raw / "S03_0.edf").read_bytes()
    (raw / "S03_0.edf").unlink()
    module(raw, allow_partial=True).prepare_data()
    (raw / "S03_0.edf").write_bytes(content)
    module(raw, allow_partial=True).prepare_data()
    folder = raw.parent / "cache" / Recipe.of(TINY).folder
    assert len(SampleStore(folder)) == 60 and is_verified(folder, TINY)


@pytest.mark.slow
def test_real_recordings_pass(eeg_data, tmp_path):
    """One subject of PhysioNet-MI: mains at 60 Hz are in the files, and the protocol's notch takes them out."""
    from eegfm.benchmarks.physionet_mi import PHYSIONET_MI as benchmark

    without = tuple(step for step in benchmark.steps if not isinstance(step, Notch))
    for steps, verdict in ((None, "ok"), (without, "warning")):
        prepare(benchmark, eeg_data / "eegmmidb", tmp_path, steps=steps, allow_partial=True, progress=False)
        recipe = Recipe.of(benchmark, steps)
        checks = verify(benchmark, eeg_data / "eegmmidb", tmp_path, recipe=recipe, progress=False)
        assert not [check for check in checks if check.verdict == "off"]
        assert next(check.verdict for check in checks if check.name == "60 Hz") == verdict
