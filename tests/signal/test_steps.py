"""Every step is the method of MNE's Raw of that name, and has the response that it says."""

from dataclasses import replace

import mne
import numpy as np
import pytest
import scipy.signal
from scipy.signal import butter, freqz, resample_poly, sosfilt

from eegfm.contracts import EegfmError
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Event, Piece, Recording
from eegfm.signal.steps import (
    AverageReference,
    BandPass,
    Bipolar,
    CausalButterworth,
    CutAtEvents,
    Despike,
    FourierResample,
    Keep,
    Notch,
    PolyphaseResample,
    Resample,
    WrapEnds,
    step_of,
)
from eegfm.signal.trials import ChebyshevBandPass, CutSliding

NAMES = ("Fz", "Cz", "Pz", "Oz")


def noise(sfreq, n_times, seed=0) -> Recording:
    """Drifting noise with an offset: filters and paddings that differ at the ends would show."""
    rng = np.random.default_rng(seed)
    data = 20 * rng.standard_normal((len(NAMES), n_times))
    data += np.linspace(-300, 500, n_times) + 100 * rng.standard_normal((len(NAMES), 1))
    return Recording(data, sfreq, montage_of(NAMES), events=(Event(1.5, 0.0, "T1"),))


def raw_of(recording) -> mne.io.RawArray:
    info = mne.create_info(list(recording.montage.names), recording.sfreq, "eeg")
    return mne.io.RawArray(recording.data * 1e-6, info, verbose=False)


def assert_same(recording, raw):
    expected = raw.get_data() * 1e6
    assert recording.data.shape == expected.shape and recording.sfreq == raw.info["sfreq"]
    np.testing.assert_allclose(recording.data, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sfreq", [500.0, 160.0, 128.0, 256.0, 210.0, 200.0])
@pytest.mark.parametrize("n_times", [6000, 6007])
def test_resample_is_raw_resample(sfreq, n_times):
    recording = noise(sfreq, n_times)
    assert_same(Resample(200.0)(recording), raw_of(recording).resample(200, verbose=False))


@pytest.mark.parametrize(
    ("low", "high", "sfreq"), [(0.3, None, 160.0), (None, 35, 200.0), (0.3, 75, 200.0), (0.5, 45, 500.0)]
)
def test_band_pass_is_raw_filter(low, high, sfreq):
    recording = noise(sfreq, int(30 * sfreq))
    assert_same(BandPass(low=low, high=high)(recording), raw_of(recording).filter(low, high, verbose=False))


@pytest.mark.parametrize(("freq", "sfreq"), [(60.0, 160.0), (60.0, 128.0), (50.0, 200.0)])
def test_notch_is_raw_notch_filter(freq, sfreq):
    recording = noise(sfreq, int(30 * sfreq))
    assert_same(Notch(freq)(recording), raw_of(recording).notch_filter(freq, verbose=False))


@pytest.mark.parametrize("n_times", [1000, 96735, 96738])
@pytest.mark.parametrize("sfreq", [250.0, 256.0, 1000.0])
def test_polyphase_resampling_keeps_the_clock_of_a_run_of_minutes(sfreq, n_times):
    """A rhythm stays where it was to its last second, whatever the length; `raw.resample` moves it by up to 4 ms."""
    times = np.arange(n_times) / sfreq
    data = np.tile(30 * np.sin(2 * np.pi * 10 * times + 1), (len(NAMES), 1))
    resampled = PolyphaseResample(200.0)(Recording(data, sfreq, montage_of(NAMES)))
    assert resampled.sfreq == 200.0
    assert resampled.duration_s == pytest.approx(times[-1], abs=0.14)  # 32 samples at 256 Hz are 25 at 200
    expected = 30 * np.sin(2 * np.pi * 10 * np.arange(resampled.n_times) / 200 + 1)
    assert np.abs(resampled.data[0] - expected)[20:-20].max() < 0.1  # a millisecond is 1.9 µV


def test_polyphase_resampling_is_scipys():
    recording = noise(250.0, 5003)
    expected = resample_poly(recording.data[:, :5000], 4, 5, axis=1, padtype="reflect")
    np.testing.assert_allclose(PolyphaseResample(200.0)(recording).data, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("step", [Resample(200.0), FourierResample(200.0), PolyphaseResample(200.0)])
def test_what_has_the_rate_already_is_not_touched(step):
    recording = noise(200.0, 3007)
    assert step(recording) is recording


@pytest.mark.parametrize("n_times", [1000, 1002])
def test_fourier_resampling_keeps_the_spectrum_of_one_period(n_times):
    """Oracle: the coefficients below the lower Nyquist frequency, moved to a grid of the nearest number of samples."""
    recording = noise(250.0, n_times)
    found = FourierResample(200.0)(recording)
    n = round(n_times * 0.8)
    assert found.n_times == n and found.sfreq == 200
    whole, part = np.fft.rfft(recording.data), np.fft.rfft(found.data)
    np.testing.assert_allclose(part[:, : n // 2] / n, whole[:, : n // 2] / n_times, atol=1e-9)


def test_a_causal_butterworth_is_its_sections_run_forward_from_rest():
    recording = noise(250.0, 2000)
    sections = butter(5, (4.0, 38.0), "bandpass", output="sos", fs=250.0)
    expected = sosfilt(sections, recording.data, axis=1)
    found = CausalButterworth(5, 4.0, 38.0)(recording).data
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    with pytest.raises(EegfmError, match="250 Hz"):
        CausalButterworth(5, 4.0, 125.0)(recording)


def test_a_bipolar_row_is_the_first_electrode_less_the_second():
    recording = noise(200.0, 100)
    before = recording.data.copy()
    found = Bipolar(("Cz-Oz", "Fz-Cz"))(recording)
    np.testing.assert_array_equal(found.data, [before[1] - before[3], before[0] - before[1]])
    np.testing.assert_array_equal(recording.data, before)
    assert found.montage.names == ("Cz-Oz", "Fz-Cz")
    with pytest.raises(EegfmError, match="lacks C3, T7 for its bipolar rows"):
        Bipolar(("Cz-T7", "C3-T7"))(recording)


def two_pieces() -> Recording:
    """Columns that count, at 10 Hz: 30 of them from second 5 on, and 20 from second 60 on; events in both."""
    data = np.arange(50.0)[None] + [[0], [100]]
    events = tuple(Event(onset, 0.0, "x") for onset in (6.26, 5.0, 7.9, 8.0, 61.2))
    return Recording(data, 10.0, montage_of(("Fz", "Cz")), events, pieces=(Piece(0, 5.0), Piece(30, 60.0)))


def columns(recording: Recording) -> list[tuple[float, list[float]]]:
    """The first second of every piece, and its content."""
    return [
        (pytest.approx(piece.onset_s), recording.data[0, start:end].tolist())
        for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
    ]


def test_a_cut_is_from_an_event_to_the_next_or_to_the_end_of_its_piece():
    """An event of second 8, where the first piece ends, lies in none; 6.26 s are at the 13th sample, not the 12th."""
    found = columns(CutAtEvents()(two_pieces()))
    wanted = [(5.0, range(13)), (6.3, range(13, 29)), (7.9, range(29, 30)), (61.2, range(42, 50))]
    assert found == [(onset, list(map(float, part))) for onset, part in wanted]


def test_what_is_kept_is_between_two_seconds_of_a_piece_that_has_them_all():
    found = columns(Keep(0.57, 2.0)(two_pieces()))
    assert found == [(5.57, list(map(float, range(6, 20)))), (60.57, list(map(float, range(36, 50))))]
    assert columns(Keep(0.5, 2.1)(two_pieces())) == [(5.5, list(map(float, range(5, 21))))]


def test_ends_are_wrapped_round_piece_by_piece():
    found = columns(WrapEnds(0.3)(two_pieces()))
    assert found == [
        (4.7, [27, 28, 29, *range(30), 0, 1, 2]),
        (59.7, [47, 48, 49, *range(30, 50), 30, 31, 32]),
    ]


def test_every_piece_is_despiked_by_its_own_median_and_the_moments_are_counted_together():
    """A level that differs from piece to piece is no spike; exactly at the limit is none either."""
    data = np.zeros((1, 14))
    data[0, 7:] = 900
    data[0, [2, 9]] = [600, 300]
    data[0, 4] = 500
    recording = Recording(
        data, 10.0, montage_of(("Cz",)), pieces=(Piece(0, 0.0), Piece(7, 9.0)), notes=("a",)
    )
    found = Despike(500.0)(recording)
    assert found.data[0].tolist() == [0, 0, 0, 0, 500, 0, 0, 900, 900, 900, 900, 900, 900, 900]
    assert found.notes == ("a", "2 of 14 moments beyond 500 µV drawn over")
    alone = replace(recording, data=np.array([[0.0, 0, 1000, 1000]]), pieces=(Piece(0, 0.0),))
    assert Despike(400.0)(alone).data is alone.data  # no sound moment to draw from


def test_average_reference_is_raw_set_eeg_reference():
    recording = noise(160.0, 3000)
    assert_same(
        AverageReference()(recording), raw_of(recording).set_eeg_reference("average", verbose=False)
    )


@pytest.mark.parametrize(
    ("step", "sfreq", "half", "full", "none", "taps"),
    [
        (BandPass(0.3, None), 160.0, (0.15,), (0.3, 1, 40, 79), (0.0,), 1761),
        (BandPass(0.3, 75), 200.0, (0.15, 84.38), (0.3, 1, 40, 75), (0.0, 94, 100), 2201),
        (BandPass(0.3, 35), 200.0, (0.15, 39.38), (0.3, 1, 20, 35), (0.0, 44, 80), 2201),
        (Notch(60.0), 160.0, (59.60, 60.40), (1, 58, 62, 79), (60.0,), 1057),
        (Notch(50.0), 200.0, (49.625, 50.375), (1, 48, 52, 99), (50.0,), 1321),
    ],
    ids=str,
)
def test_the_response_is_that_of_the_protocol(step, sfreq, half, full, none, taps):
    """-6 dB points, pass-band, stop-band and length of the kernel, from what the step makes of a single impulse.

    The -6 dB points of a notch that MNE's log prints (59.10 and 60.90 Hz for 60 Hz at 160 Hz) are not those of the
    filter it makes: a band-stop's transitions lie inside its edges, 59.35 and 60.65 Hz, and the log adds them outside.
    """
    n = 8 * taps + 1
    impulse = np.zeros((1, n))
    impulse[0, n // 2] = 1
    kernel = step(Recording(impulse, sfreq, montage_of(("Cz",)))).data[0]
    reach = taps // 2
    assert np.abs(np.delete(kernel, range(n // 2 - reach, n // 2 + reach + 1))).max() < 1e-12
    assert np.abs(kernel[[n // 2 - reach, n // 2 + reach]]).max() > 1e-9
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)  # symmetric about the impulse: zero phase

    def gain(freqs):
        return np.abs(freqz(kernel, worN=np.array(freqs, dtype=float), fs=sfreq)[1])

    np.testing.assert_allclose(20 * np.log10(gain(half)), -6.02, atol=0.1)
    np.testing.assert_allclose(gain(full), 1, atol=0.01)
    assert gain(none).max() < 0.006


def test_steps_leave_names_events_and_their_input_alone():
    recording = noise(500.0, 6000)
    before = recording.data.copy()
    for step in (Resample(200.0), BandPass(0.3, 75), Notch(50.0), AverageReference()):
        after = step(recording)
        assert after.montage is recording.montage and after.events == recording.events
        np.testing.assert_array_equal(recording.data, before)


@pytest.mark.parametrize("edges", [(None, None), (75, 0.3), (10, 10)])
def test_a_band_that_is_none_is_refused(edges):
    """low above high would be a band-stop to MNE."""
    with pytest.raises(EegfmError, match="BandPass"):
        BandPass(*edges)


@pytest.mark.parametrize("step", [BandPass(0.3, 75), Notch(100.0), Notch(64.0), BandPass(80, None)])
def test_a_frequency_above_nyquist_is_refused_with_the_rate(step):
    with pytest.raises(EegfmError, match="128 Hz"):
        step(noise(128.0, 4000))


def test_steps_are_facts():
    """Equal fields, equal steps: a recipe compares and hashes them."""
    assert BandPass(0.3, None) == BandPass(low=0.3, high=None) != BandPass(0.3, 75)
    assert len({Resample(200.0), Resample(200.0), Notch(50.0)}) == 2
    assert all(isinstance(step.version, int) for step in (Resample, BandPass, Notch, AverageReference))


# ---- a step as text --------------------------------------------------------------------------------------------------


def test_the_chebyshev_filter_is_the_published_one_and_rings_at_the_ends_of_a_trial():
    """SciPy's design of the cutoffs that EEGM2 states, 12 poles, run forward and backward over each trial alone."""
    step = ChebyshevBandPass(0.2, 0.5, 40.0, 48.0)
    z, p, k = scipy.signal.iirdesign(
        [0.5 / 64, 40 / 64], [0.2 / 64, 48 / 64], 1, 40, ftype="cheby2", output="zpk"
    )
    assert len(p) == 12
    trials = 40 + 20 * np.random.default_rng(0).standard_normal((3, 2, 256))
    recording = Recording.of_epochs(trials, 128.0, montage_of(("C3", "C4")), ["a"] * 3)
    found = step(recording)
    wanted = [scipy.signal.sosfiltfilt(scipy.signal.zpk2sos(z, p, k), trial, axis=1) for trial in trials]
    np.testing.assert_allclose(found.data, np.concatenate(wanted, axis=1), rtol=0, atol=1e-9)
    assert found.pieces == recording.pieces
    t = np.arange(256) / 128
    slow = step(Recording(20 * np.sin(2 * np.pi * 0.5 * t + 1)[None], 128.0, montage_of(("C3",))))
    long = np.arange(256 * 60) / 128
    whole = step(Recording(20 * np.sin(2 * np.pi * 0.5 * long + 1)[None], 128.0, montage_of(("C3",))))
    assert np.abs(slow.data[0] - whole.data[0, 7680:7936]).max() > 2  # µV, of 20
    with pytest.raises(EegfmError, match="not possible at 90 Hz"):
        step(Recording(np.zeros((1, 400)), 90.0, montage_of(("C3",))))
    with pytest.raises(EegfmError, match="frequencies that rise"):
        ChebyshevBandPass(0.5, 0.2, 40.0, 48.0)


def test_sliding_pieces_overlap_and_keep_their_seconds():
    recording = noise(128.0, 128 * 5)
    found = CutSliding(2.0, 0.5)(recording)
    assert [piece.onset_s for piece in found.pieces] == [0.5 * i for i in range(7)]
    for piece, (start, end) in zip(found.pieces, found.spans(), strict=True):
        first = round(piece.onset_s * 128)
        np.testing.assert_array_equal(found.data[:, start:end], recording.data[:, first : first + 256])


@pytest.mark.parametrize(
    "step",
    [
        AverageReference(), BandPass(0.3, None), BandPass(low=1, high=40.0), Bipolar(("FP1-F7", "F7-T3")),
        CausalButterworth(5, 0.3, 50.0), ChebyshevBandPass(0.2, 0.5, 40.0, 48.0), CutAtEvents(), CutSliding(2.0, 0.5),
        Despike(1e4), FourierResample(200.0), Keep(2.0, 6.0),
        Notch(60.0), PolyphaseResample(200.0), Resample(200.0), WrapEnds(2.0),
    ],
    ids=lambda step: type(step).__name__,
)  # fmt: skip
def test_a_step_comes_back_from_its_text(step):
    assert step_of(repr(step)) == step


@pytest.mark.parametrize(
    "text",
    [
        "", "Resample", "Resample(200.0)", "Resample(sfreq=__import__('os'))", "Recording(data=1)", "Step()",
        "replace(obj=1)", "eegfm.signal.steps.Resample(sfreq=200.0)", "Resample(sfreq=200.0", "Notch(hz=50)",
        "Resample(sfreq=200.0) or 1", "BandPass(low=None, high=None)", "Resample(sfreq=" + "(" * 9999,
    ],
)  # fmt: skip
def test_a_text_that_is_no_step_is_refused_and_not_run(text):
    with pytest.raises(EegfmError):
        step_of(text)
