"""The simulated corpus: the same every time, of the size of EEG, and with just the effect that it is said to hold."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eegfm.benchmarks import synthetic
from eegfm.benchmarks.spec import SUMS, Source
from eegfm.benchmarks.synthetic import CHANNELS, SUBJECTS, SYNTHETIC, lead_field, source_positions
from eegfm.contracts import EegfmError
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleStore
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording
from eegfm.signal.windows import cut

C3, C4 = CHANNELS.index("C3"), CHANNELS.index("C4")
LEFT, RIGHT = 0, 1  # classes; also columns of the lead field, which are hemispheres


def make_only(root: Path, subject: str) -> Source:
    """Make one subject alone: files that are there are not made again, be they empty."""
    root.mkdir(parents=True)
    (wanted,) = (source for source in SYNTHETIC.sources(root) if source.subject == subject)
    for source in SYNTHETIC.sources(root):
        if source != wanted:
            source.path.touch()
    synthetic.make(root)
    return wanted


def trials(recording: Recording, source: Source) -> tuple[np.ndarray, np.ndarray]:
    wanted = SYNTHETIC.windows(recording, source)
    x = np.stack([cut(recording, window.onset_s, SYNTHETIC.window_s) for window in wanted])
    return x, np.array([window.label for window in wanted])


def mu_power(x: np.ndarray) -> np.ndarray:
    """Mean power density of 8 to 13 Hz, per channel, in µV²/Hz."""
    hz, power = welch(x, fs=SYNTHETIC.sfreq, nperseg=400)
    return power[..., (hz >= 8) & (hz <= 13)].mean(axis=-1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_only(tmp_path_factory.mktemp("raw") / "one", "S12")


@pytest.fixture(scope="module")
def recording(source: Source) -> Recording:
    return SYNTHETIC.read(source)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    """The whole corpus, made and prepared; for slow tests."""
    folder = tmp_path_factory.mktemp("whole")
    return prepare(SYNTHETIC, folder / "raw", folder / "cache", progress=False)


def test_a_second_making_gives_equal_samples(source, recording, tmp_path):
    again = make_only(tmp_path / "again", source.subject)
    assert np.array_equal(SYNTHETIC.read(again).data, recording.data)


@pytest.mark.slow
def test_the_samples_are_equal_to_the_last_bit_in_another_process_and_with_other_threads(
    source, recording, tmp_path
):
    program = (
        "import sys, pathlib, hashlib; from tests.benchmarks.test_synthetic import make_only, SYNTHETIC\n"
        "data = SYNTHETIC.read(make_only(pathlib.Path(sys.argv[1]), 'S12')).data\n"
        "print(hashlib.sha256(data.tobytes()).hexdigest())"
    )
    again = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "again")],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == hashlib.sha256(recording.data.tobytes()).hexdigest()


def test_making_again_changes_nothing_and_leaves_nothing_else_behind(source):
    root = source.path.parent
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    synthetic.make(root)
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before
    assert set(before) == {root / SUMS} | {source.path for source in SYNTHETIC.sources(root)}


def test_no_subject_is_in_two_splits_and_no_two_subjects_are_the_same_head():
    assert len(set(SUBJECTS)) == len(SUBJECTS) == 14
    everyone = np.stack([lead_field(subject) for subject in SUBJECTS])
    for i, one in enumerate(everyone):
        assert all(np.abs(one - other).max() > 0.01 for other in everyone[:i])


def test_the_recording_is_microvolts_at_the_places_of_the_montage(recording):
    assert recording.montage.names == SYNTHETIC.channels
    assert np.array_equal(recording.montage.coords, montage_of(CHANNELS).coords)
    assert (recording.sfreq, recording.duration_s) == (200.0, 300.0)
    assert 5 < np.median(np.abs(recording.data)) < 20


def test_the_file_itself_says_where_the_electrodes_are(source):
    raw = mne.io.read_raw_fif(source.path, verbose="error")
    found = raw.get_montage().get_positions()
    assert found["coord_frame"] == "head"
    np.testing.assert_allclose(list(found["ch_pos"].values()), montage_of(CHANNELS).coords, atol=1e-6)


def test_every_trial_is_kept_once_and_half_of_them_are_of_each_class(recording, source):
    x, label = trials(recording, source)
    assert x.shape == (60, 19, SYNTHETIC.n_times)
    assert np.bincount(label).tolist() == [30, 30]
    assert (
        np.abs(np.diff(label)).sum() > 15
    )  # mixed, not blocked: a slow drift must not look like the class


def test_the_background_falls_as_one_over_f(recording):
    """Slope −1 in log power over log frequency, away from the rhythms and from where the sensor noise takes over."""
    hz, power = welch(recording.data, fs=200.0, nperseg=800)
    chosen = ((hz >= 2) & (hz <= 5)) | ((hz >= 16) & (hz <= 40))
    slopes = np.polyfit(np.log(hz[chosen]), np.log(power[:, chosen]).T, 1)[0]
    assert -1.15 < np.median(slopes) < -0.8, slopes
    # and the rhythm stands out: without it 10 Hz would hold two fifths of what 4 Hz holds
    assert (power[[C3, C4], hz == 10] > 3 * power[[C3, C4], hz == 4]).all()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_rhythms_sit_in_either_hemisphere_under_their_electrode(subject):
    field, places = lead_field(subject), source_positions(subject)
    assert np.abs(field).argmax(axis=0).tolist() == [C3, C4]
    distances = np.linalg.norm(montage_of(CHANNELS).coords[:, None] - places, axis=-1)
    assert distances.argmin(axis=0).tolist() == [C3, C4]
    assert places[LEFT, 0] < -0.02 and places[RIGHT, 0] > 0.02  # metres; +x is right


def test_the_lead_field_is_that_of_mne_by_another_road():
    """A free-orientation forward solution over a discrete source space, turned by hand."""
    head = synthetic._head("S01")
    space = mne.setup_volume_source_space(
        pos={"rr": head.positions[:2], "nn": head.orientations[:2]}, sphere_units="m", verbose=False
    )
    info = mne.create_info(list(CHANNELS), 200.0, "eeg")
    places = dict(zip(CHANNELS, montage_of(CHANNELS).coords, strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    sphere = mne.make_sphere_model(synthetic.CENTRE, synthetic.RADIUS, verbose=False)
    forward = mne.make_forward_solution(info, None, space, sphere, meg=False, verbose=False)
    volts_per_am = forward["sol"]["data"].reshape(19, 2, 3)
    wanted = np.einsum("cdk,dk->cd", volts_per_am, head.orientations[:2]) * 1e6 * 1e-9
    np.testing.assert_allclose(lead_field("S01"), wanted, rtol=1e-4, atol=1e-6)


def test_the_drop_can_be_traced_back_to_its_two_sources(recording, source):
    """The loss of covariance in the mu band from one class to the other has the two lead fields as its axes."""
    x, label = trials(recording, source)
    filtered = mne.filter.filter_data(x, 200.0, 7, 14, verbose=False)
    covariance = np.einsum("nct,ndt->ncd", filtered, filtered) / x.shape[-1]
    contrast = covariance[label == LEFT].mean(axis=0) - covariance[label == RIGHT].mean(axis=0)
    _, axes = np.linalg.eigh(contrast)
    field = lead_field(source.subject) / np.linalg.norm(lead_field(source.subject), axis=0)
    assert (
        abs(axes[:, -1] @ field[:, LEFT]) > 0.95
    )  # most in class "left": the left hemisphere, which did not drop
    assert abs(axes[:, 0] @ field[:, RIGHT]) > 0.95


def test_a_damaged_file_and_one_of_another_version_say_what_to_do(source, tmp_path):
    cut_short = replace(source, path=tmp_path / "cut_raw.fif")
    cut_short.path.write_bytes(source.path.read_bytes()[:100_000])
    with pytest.raises(EegfmError, match=r"cut_raw\.fif cannot be read .*Delete it"):
        SYNTHETIC.read(cut_short)
    other = replace(source, path=tmp_path / "other_raw.fif")
    raw = mne.io.read_raw_fif(source.path, verbose="error")
    raw.info["description"] = "eegfm-synthetic@0"
    raw.save(other.path, verbose="error")
    with pytest.raises(
        EegfmError, match=r"made as 'eegfm-synthetic@0'; eegfm-synthetic@1 is wanted\. Delete it"
    ):
        SYNTHETIC.read(other)


def test_an_unknown_subject_is_refused():
    with pytest.raises(EegfmError, match="no subject 'S15'"):
        lead_field("S15")


@pytest.mark.slow
def test_the_whole_corpus_has_the_counts_of_its_census(store):
    index, census = store.index, SYNTHETIC.census
    assert store.complete
    assert len(index) == census.windows == 840
    assert len(np.unique(index.recording)) == census.recordings == 14
    for split, subjects in SYNTHETIC.splits.items():
        rows = index.rows(split)
        assert len(rows) == census.per_split[split] == 60 * len(subjects)
        assert tuple(np.bincount(index.label[rows])) == census.per_class[split]
        assert set(index.subject[rows]) == set(subjects)


@pytest.mark.slow
def test_a_subject_made_alone_is_the_same_as_one_made_among_all(store, recording, source):
    x, label = trials(recording, source)
    rows = np.flatnonzero(store.index.subject == source.subject)
    assert np.array_equal(store.read(rows), x.astype(np.float32))
    assert np.array_equal(store.index.label[rows], label)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_imagery_lowers_the_rhythm_of_the_opposite_hemisphere_in_every_subject(store, subject):
    rows = np.flatnonzero(store.index.subject == subject)
    x, label = store.read(rows).astype(np.float64), store.index.label[rows]
    assert 5 < np.median(np.abs(x)) < 20
    power = mu_power(x)
    contrast = power[label == LEFT].mean(axis=0) - power[label == RIGHT].mean(axis=0)  # µV²/Hz per channel
    assert contrast[C3] > 0 > contrast[C4]  # "right" lowers C3, "left" lowers C4
    # power goes with the square of the field: one non-negative strength for each source explains the whole map
    squares = lead_field(subject) ** 2 * [1, -1]
    strengths, *_ = np.linalg.lstsq(squares, contrast, rcond=None)
    assert (strengths > 0).all()
    assert np.corrcoef(squares @ strengths, contrast)[0, 1] > 0.95


@pytest.mark.slow
def test_band_power_finds_the_class_in_new_subjects_but_not_always(store):
    """A tenth of the trials are lapses, so about 0.95 can be had; the other tasks of the project may rely on it."""
    x, label, split = np.log(mu_power(store.read(range(840)))), store.index.label, store.index.split
    train = split == "train"
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x[train], label[train])
    score = {
        part: balanced_accuracy_score(label[split == part], model.predict(x[split == part]))
        for part in ("train", "val", "test")
    }
    assert 0.90 <= score["val"] < 0.97 and 0.90 <= score["test"] < 0.97, score

    rng = np.random.default_rng(0)
    chance = []
    for _ in range(30):
        model.fit(x[train], rng.permutation(label[train]))
        chance.append(balanced_accuracy_score(label[split == "test"], model.predict(x[split == "test"])))
    # a rule learnt from shuffled labels still lies along the effect, to one side or the other: hence the mean of many
    assert 0.45 < np.mean(chance) < 0.55, chance
