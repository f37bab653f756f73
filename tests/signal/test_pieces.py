"""A recording taken piece by piece is the recording prepared whole: to rounding, or to a tolerance that is said."""

import itertools
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
import scipy.signal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eegfm.benchmarks.tuh import ELECTRODES, ROWS, STEPS
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.formats.edf_writer import STEP_UV, EdfWriter
from eegfm.signal.matching import matched
from eegfm.signal.pieces import Piece, Pieces
from eegfm.signal.steps import (
    AverageReference,
    BandPass,
    Bipolar,
    CutAtEvents,
    Notch,
    PolyphaseResample,
    Resample,
    WrapEnds,
)
from tests.corpora import corpora, made
from tests.writers_cnt import write_cnt
from tests.writers_gap import GAP_S, write_with_gap
from tests.writers_gdf import write_gdf

SECONDS = 75
CHAINS = {  # the protocols of EDF corpora, and what they are made of
    "no steps": (),
    "mental_arithmetic": (Resample(200.0),),
    "tuab": STEPS,
    "physionet_mi": (AverageReference(), BandPass(low=0.3, high=None), Notch(60.0), Resample(200.0)),
    "polyphase": (AverageReference(), BandPass(0.3, 40.0), PolyphaseResample(200.0)),
    "bipolar first": (Bipolar(ROWS), BandPass(None, 30.0)),
}
EXACT = ("no steps", "polyphase", "bipolar first")


def brain(n: int, sfreq: float, seed: int) -> np.ndarray:
    """Noise whose power falls with frequency, an offset of each electrode, and mains: [electrode, time] in µV."""
    rng = np.random.default_rng(seed)
    hz = np.fft.rfftfreq(n, 1 / sfreq)
    shape = np.where(hz < 0.2, 0, 1 / np.maximum(hz, 1))
    x = np.fft.irfft(
        shape * (rng.standard_normal((len(ELECTRODES), len(hz))) + 1j * rng.standard_normal(len(hz))), n
    )
    mains = 5 * np.sin(2 * np.pi * 50 * np.arange(n) / sfreq)
    return 20 * x / x.std(axis=1, keepdims=True) + mains + rng.uniform(-30, 30, (len(ELECTRODES), 1))


def edf(path: Path, data: np.ndarray, sfreq: float, names=ELECTRODES) -> Path:
    edfio.Edf(
        [
            edfio.EdfSignal(row, sfreq, label=name, physical_dimension="uV", physical_range=(-400, 400))
            for name, row in zip(names, data, strict=True)
        ]
    ).write(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[int, Path]:
    """A file of each rate."""
    folder = tmp_path_factory.mktemp("pieces")
    return {
        sfreq: edf(folder / f"{sfreq}.edf", brain(SECONDS * sfreq, sfreq, seed=sfreq), sfreq)
        for sfreq in (160, 250)
    }


def whole(path: Path, steps):
    recording = read_edf(path, channels=ELECTRODES)
    for step in steps:
        recording = step(recording)
    return recording


def only(pieces: Pieces) -> Piece:
    (piece,) = pieces.all
    return piece


def opened(path: Path, steps) -> tuple[Piece, np.ndarray]:
    recording = whole(path, steps)
    pieces = only(Pieces(path, channels=recording.montage.names, steps=steps, sfreq=recording.sfreq))
    assert pieces.n_times == recording.n_times
    return pieces, recording.data


def in_pieces(pieces: Piece, cuts) -> np.ndarray:
    edges = [0, *sorted(cuts), pieces.n_times]
    return np.concatenate([pieces.take(a, b) for a, b in itertools.pairwise(edges)], axis=1)


@pytest.mark.parametrize("sfreq", [160, 250])
@pytest.mark.parametrize("chain", CHAINS)
def test_pieces_are_the_whole_recording(chain, sfreq, files):
    """Kernels of finite length to rounding, at the ends too; MNE's FFT resampling to 0.01 µV within the file.

    Below 95 % of the lower Nyquist frequency, that is: brains have little of the rest. The FFT continues a file beyond
    its ends by reflection and rings there; that second, and what the next filters make of it, is right to 1 µV.
    """
    pieces, wanted = opened(files[sfreq], CHAINS[chain])
    found = in_pieces(pieces, range(4000, pieces.n_times, 7000))
    error = np.abs(found - wanted)
    if chain in EXACT:
        assert error.max() < 1e-9
        return
    edge = round((1 + pieces.ahead_s) * pieces.sfreq)
    assert error.max() < 1.0
    nyquist = min(sfreq, 200) / 2
    low = scipy.signal.firwin(401, 0.95 * nyquist, fs=200.0)
    error = np.abs(scipy.signal.fftconvolve(found - wanted, low[None], mode="valid", axes=1))
    assert error[:, edge:-edge].max() < 0.01


@settings(deadline=None, max_examples=6)
@given(
    cuts=st.lists(st.integers(0, 15_000), max_size=5),
    chain=st.sampled_from(sorted(CHAINS)),
    sfreq=st.sampled_from([160, 250]),
)
@example(cuts=[0], chain="no steps", sfreq=160)
def test_how_a_recording_is_cut_does_not_matter(files, cuts, chain, sfreq):
    """Pieces of no samples and of one too; a file is not prepared otherwise because it is read otherwise."""
    steps = CHAINS[chain]
    rows = ROWS if any(isinstance(step, Bipolar) for step in steps) else ELECTRODES
    rate = 200.0 if any(hasattr(step, "sfreq") for step in steps) else float(sfreq)
    pieces = only(Pieces(files[sfreq], channels=rows, steps=steps, sfreq=rate))
    found = in_pieces(pieces, [min(cut, pieces.n_times) for cut in cuts])
    np.testing.assert_allclose(found, pieces.take(0, pieces.n_times), atol=1e-9)


def test_the_moments_of_mnes_resampling_are_met(files):
    """Over a recording they drift by half a sample at most; at 40 Hz that is half of the amplitude, and must not be."""
    sfreq = 250
    t = np.arange(SECONDS * sfreq) / sfreq
    tone = np.tile(30 * np.sin(2 * np.pi * 40 * t), (len(ELECTRODES), 1))
    pieces, wanted = opened(edf(files[sfreq].with_name("tone.edf"), tone, sfreq), (Resample(200.0),))
    found = in_pieces(pieces, [9000])
    clock = 30 * np.sin(2 * np.pi * 40 * np.arange(pieces.n_times) / 200)
    assert np.abs(wanted[0] - clock)[400:-400].max() > 1  # the drift is real
    assert np.abs(found - wanted)[:, 400:-400].max() < 0.01


@pytest.mark.parametrize("chain", ["tuab", "physionet_mi", "polyphase"])
def test_no_step_looks_further_ahead_than_is_said(chain, files, tmp_path):
    """They do look ahead: this is no closed loop."""
    before = brain(SECONDS * 250, 250, seed=1)
    after = before.copy()
    changed_s = 45
    after[:, changed_s * 250 :] += 50 * np.sign(np.sin(np.arange(after.shape[1] - changed_s * 250)))
    steps = CHAINS[chain]
    found = []
    for name, data in (("a", before), ("b", after)):
        pieces, _ = opened(edf(tmp_path / f"{name}.edf", data, 250), steps)
        found.append(pieces.take(0, pieces.n_times))
    moved = np.flatnonzero(np.abs(found[0] - found[1]).max(axis=0) > 1e-6)
    first = changed_s - moved[0] / pieces.sfreq
    assert 0.5 * pieces.ahead_s < first <= pieces.ahead_s + 1 / pieces.sfreq


EDF_CORPORA = [
    "mental_arithmetic",
    "mumtaz2016-repaired",
    "physionet_mi",
    "tuab-repaired",
    "tuab_eegm2-10s-repaired",
    "chb_mit-repaired",
]


@pytest.mark.parametrize("name", EDF_CORPORA)
def test_a_file_of_a_corpus_is_named_and_prepared_as_its_benchmark_does(name, tmp_path):
    """Against each benchmark's own reader: the same channels of the file in the same order, the same samples."""
    corpus, benchmark = corpora()[name], made(name)
    corpus.write(tmp_path, corpus.table)
    source = next(
        source
        for source in benchmark.sources(tmp_path)
        if source.path.is_file() and all(path.is_file() for path in source.files)
    )
    recording = benchmark.read(source)
    for step in benchmark.steps:
        recording = step(recording)
    pieces = only(
        Pieces(source.path, channels=benchmark.channels, steps=benchmark.steps, sfreq=benchmark.sfreq)
    )
    found = pieces.take(0, pieces.n_times)
    edge = round(0.5 * pieces.sfreq)
    assert found.shape == recording.data.shape
    assert (
        np.abs(found - recording.data)[:, edge:-edge].max() < 0.05
    )  # tones of 30 µV, and digits of the file


def test_names_are_matched_the_way_people_write_them():
    there = ["ECG", "EEG FP1-REF", "Fz..", "eeg t7-le", "P7-O1", "C3-0", "C3-1", "A2"]
    found = matched(there, ["Fp1", "Fz", "T3", "T5-O1", "C3"], Path("a.edf"))
    assert found == {"EEG FP1-REF": "Fp1", "Fz..": "Fz", "eeg t7-le": "T3", "P7-O1": "T5-O1", "C3-0": "C3"}
    assert matched(["Fz", "EEG Fz-REF"], ["Fz"], Path("a.edf")) == {"Fz": "Fz"}
    with pytest.raises(
        EegfmError, match=r"a\.edf lacks 2 of the 3 channels of this run: Cz, Pz\. It has ECG, EEG FP1-REF"
    ):
        matched(there, ["Cz", "Fz", "Pz"], Path("a.edf"))
    with pytest.raises(
        EegfmError, match=r"several channels for one of the run: Cz \(EEG Cz-REF or EEG Cz-LE\)"
    ):
        matched(["EEG Cz-REF", "EEG Cz-LE"], ["Cz"], Path("a.edf"))


@pytest.mark.parametrize(
    ("steps", "sfreq", "sentence"),
    [
        (
            (),
            200.0,
            r"is at 250 Hz, and this run reads 200 Hz\. Resample the file to 200 Hz .* steps=none out",
        ),
        ((BandPass(1.0, 40.0),), 200.0, "after its steps at 250 Hz"),
        ((CutAtEvents(),), 250.0, "CutAtEvents is made for a protocol's trials .* steps=none"),
    ],
)
def test_what_cannot_be_prepared_in_pieces_is_refused(files, steps, sfreq, sentence):
    with pytest.raises(EegfmError, match=sentence):
        Pieces(files[250], channels=ELECTRODES, steps=steps, sfreq=sfreq)


def test_what_concerns_the_ends_of_a_file_alone_is_left_out(files):
    pieces = Pieces(files[250], channels=ELECTRODES, steps=(WrapEnds(2.0),), sfreq=250.0)
    assert pieces.left_out == [WrapEnds(2.0)] and pieces.n_times == SECONDS * 250 and pieces.ahead_s == 0


def test_a_file_that_is_none_is_refused(files, tmp_path):
    with pytest.raises(EegfmError, match=r"No file at .*nothing\.edf"):
        Pieces(tmp_path / "nothing.edf", channels=ELECTRODES, steps=(), sfreq=250.0)
    for name, content in (("a.edf", b"no recording" * 99), ("a.bdf", b"no recording" * 99)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EegfmError, match=name) as refusal:
            Pieces(tmp_path / name, channels=ELECTRODES, steps=(), sfreq=250.0)
        assert "allow_partial" not in str(refusal.value)  # that is for corpora
    cut = tmp_path / "cut.edf"
    cut.write_bytes(files[250].read_bytes()[:-500])
    with pytest.raises(EegfmError, match="cut short"):
        Pieces(cut, channels=ELECTRODES, steps=(), sfreq=250.0)


# --- gaps, and files of all formats


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("chain", ["no steps", "physionet_mi"])
def test_no_step_sees_over_a_gap(tmp_path, suffix, chain):
    """Each piece equals the recording that ends, or begins, at the gap, as it is prepared alone."""
    data, steps = brain(60 * 200, 200, seed=3), CHAINS[chain]
    path = write_with_gap(tmp_path / f"a{suffix}", data, ELECTRODES, first_s=25)
    pieces = Pieces(path, channels=ELECTRODES, steps=steps, sfreq=200.0)
    assert [(piece.onset_s, piece.n_times) for piece in pieces.all] == [(0.0, 5000), (25.0 + GAP_S, 7000)]
    assert pieces.n_times == 12_000 and pieces.duration_s == 60
    recording = whole(path, steps)
    assert [piece.onset_s for piece in recording.pieces] == [0.0, 25.0 + GAP_S]
    for piece, (start, end) in zip(pieces.all, recording.spans(), strict=True):
        np.testing.assert_allclose(in_pieces(piece, [3000]), recording.data[:, start:end], atol=1e-9)


def test_missing_samples_of_a_gdf_file_never_reach_a_model(tmp_path):
    """MNE reads them as the smallest number of the file."""
    data = brain(40 * 250, 250, seed=4)
    data[:, 3000:4000] = np.nan
    write_gdf(tmp_path / "a.gdf", data, ELECTRODES, range_uv=400.0)
    pieces = Pieces(tmp_path / "a.gdf", channels=ELECTRODES, steps=(), sfreq=250.0)
    assert [(piece.onset_s, piece.n_times) for piece in pieces.all] == [(0.0, 3000), (16.0, 6000)]
    for piece, part in zip(pieces.all, (data[:, :3000], data[:, 4000:]), strict=True):
        assert np.abs(piece.take(0, piece.n_times) - part).max() < 0.2


def test_what_a_corpus_reader_refuses_a_stream_refuses(tmp_path):
    """A BDF file cut short, a channel of another rate, a unit that nobody knows; each was read before."""
    data = brain(20 * 200, 200, seed=5)[:2]

    def bdf(name: str, *, rates=(200, 200), unit="uV") -> Path:
        signals = [
            edfio.BdfSignal(
                row[:: 200 // rate], rate, label=label, physical_dimension=unit, physical_range=(-400, 400)
            )
            for row, rate, label in zip(data, rates, ("Fz", "Cz"), strict=True)
        ]
        edfio.Bdf(signals, data_record_duration=1.0).write(tmp_path / name)
        return tmp_path / name

    cut = bdf("cut.bdf")
    cut.write_bytes(cut.read_bytes()[:-4000])
    for path, sentence in (
        (cut, "cut short"),
        (bdf("slow.bdf", rates=(200, 100)), "Cz is sampled at 100 Hz, other channels at 200 Hz"),
        (bdf("blank.bdf", unit=""), 'Fz has no unit.*signal.physical_dimension = "uV"'),
    ):
        with pytest.raises(EegfmError, match=sentence) as refusal:
            Pieces(path, channels=["Fz", "Cz"], steps=(), sfreq=200.0)
        assert "allow_partial" not in str(refusal.value)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("counted", ["right", "nothing"])
def test_the_width_of_a_cnt_file_is_told_by_its_samples(tmp_path, bits, counted):
    data = brain(20 * 250, 250, seed=6)[:3]
    n_samples = None if counted == "right" else 0
    write_cnt(tmp_path / "a.cnt", data, ("Fz", "Cz", "Pz"), sfreq=250, bits=bits, n_samples=n_samples)
    piece = only(Pieces(tmp_path / "a.cnt", channels=["Fz", "Cz", "Pz"], steps=(), sfreq=250.0))
    np.testing.assert_allclose(piece.take(0, piece.n_times), data, atol=0.02)


@pytest.mark.parametrize(("bits", "factor"), [(16, 0.5), (32, 2)])
def test_a_cnt_file_whose_count_contradicts_its_samples_is_refused(tmp_path, bits, factor):
    """Half the samples of 16 bits take as many bytes as all would of 32: MNE reads nonsense."""
    data = brain(20 * 250, 250, seed=6)[:4]
    write_cnt(tmp_path / "a.cnt", data, ("Fz", "Cz", "Pz", "Oz"), sfreq=250, bits=bits,
              n_samples=round(factor * data.shape[1]))  # fmt: skip
    with pytest.raises(EegfmError, match=rf"and their values are those of {bits}-bit ones"):
        Pieces(tmp_path / "a.cnt", channels=["Fz", "Cz"], steps=(), sfreq=250.0)


def test_what_a_fif_file_skipped_or_joined_is_a_gap(tmp_path):
    """MNE gives zeros for what was not recorded; behind a joint, another time begins."""
    data = brain(20 * 200, 200, seed=7)[:3] * 1e-6
    raw = mne.io.RawArray(
        data, mne.create_info(["Fz", "Cz", "Pz"], 200, ["eeg", "eeg", "mag"]), verbose="error"
    )
    raw.set_annotations(mne.Annotations([5.0, 12.0], [2.0, 0.0], ["BAD_ACQ_SKIP", "BAD boundary"]))
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    pieces = Pieces(tmp_path / "a_raw.fif", channels=["Fz", "Cz"], steps=(), sfreq=200.0)
    assert [(p.onset_s, p.duration_s) for p in pieces.all] == [(0.0, 5.0), (7.0, 5.0), (12.0, 8.0)]
    with pytest.raises(EegfmError, match="Pz is no voltage"):
        Pieces(tmp_path / "a_raw.fif", channels=["Fz", "Pz"], steps=(), sfreq=200.0)


# --- what is written


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 990), max_size=5), seed=st.integers(0, 9))
def test_an_edf_written_in_pieces_is_read_by_others(tmp_path_factory, cuts, seed):
    """edfio shares no line with us: names, rate, and values to half a digit; beyond the range they are cut off."""
    data = 300 * np.random.default_rng(seed).standard_normal((2, 990))
    data[0, 3] = 9999.0
    path = tmp_path_factory.mktemp("edf") / "a.edf"
    with EdfWriter(path, ["Fz", "FP1-F7"], 200.0) as file:
        for piece in np.split(data, sorted(cuts), axis=1):
            file.write(piece)
    read = edfio.read_edf(path)
    assert [signal.label for signal in read.signals] == ["Fz", "FP1-F7"]
    for signal, row in zip(read.signals, data, strict=True):
        assert signal.sampling_frequency == 200 and len(signal.data) == 1000
        wanted = np.clip(np.append(row, np.zeros(10)), -3276.7, 3276.7)
        np.testing.assert_allclose(signal.data, wanted, atol=STEP_UV / 2 + 1e-6)
    ours = read_edf(path, channels=["Fz", "FP1-F7"])
    assert ours.sfreq == 200 and np.abs(ours.data[1, :990] - data[1]).max() < STEP_UV / 2 + 1e-6


def test_an_edf_of_a_rate_that_is_no_whole_number_is_refused(tmp_path):
    with pytest.raises(EegfmError, match=r"there are 128\.5"):
        EdfWriter(tmp_path / "a.edf", ["Fz"], 128.5)
