"""Synthetic: simulated imagined hand movement; a corpus that is made, not downloaded. No person was recorded.

Each subject is a spherical head (MNE's three-shell model, 19 electrodes of the 10-20 system) with four parts:

- a mu rhythm (narrow-band noise near 10 Hz) in the left and in the right motor cortex. While a hand is imagined, the
  rhythm of the *opposite* hemisphere drops (event-related desynchronisation, Pfurtscheller & Lopes da Silva 1999,
  doi:10.1016/S1388-2457(99)00141-8): class "right" drops it under C3, class "left" under C4;
- an occipital alpha rhythm, of the same band, that does not depend on the class;
- a 1/f background of many small dipoles anywhere in the head, each with its own time course;
- white sensor noise.

Frequency, strengths, depth of the drop and the places of all dipoles differ between subjects. The sources are known:
`source_positions` and `lead_field` give the truth against which a learned spatial map can be judged. The reference is a
point at infinity, so the rows do not sum to zero as those of an average-referenced recording do.

Numbers depend on the subject's id alone, never on the order of making. The raw files are FIF, whose header holds the
time of writing: remade files have equal samples but not equal bytes. Their sums are kept beside them, as those of a
corpus that is downloaded. A change here does not reach existing files; `PROTOCOL` must rise with it, and `read` then
refuses the old ones.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float

from eegfm.benchmarks.spec import SUMS, BenchmarkSpec, Census, Source, SplitName, Window
from eegfm.contracts import EegfmError
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording
from eegfm.support.files import sha256_of, whole, write_text
from eegfm.support.locks import only_one

PROTOCOL = (
    "eegfm-synthetic@1"  # written into every raw file; rises with any change to the simulated numbers
)
MAKE_AGAIN = "Delete it and run the same command again: it is made anew."
CLASSES = ("left", "right")
CHANNELS = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split())
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": ("S01", "S02", "S03", "S04", "S05", "S06", "S07", "S08"),
    "val": ("S09", "S10", "S11"),
    "test": ("S12", "S13", "S14"),
}
SUBJECTS = tuple(subject for subjects in SPLITS.values() for subject in subjects)

SEED = 20131226  # seeds every random number here, together with the subject's number and a stream
SFREQ = 200.0
WINDOW_S = 4.0
PAUSE_S = 1.0  # before every trial, with both rhythms at full strength
N_TRIALS = 60  # per subject, half of each class
LAPSES = 0.1  # the share of random trials without imagery: the best accuracy to expect is 0.95
N_BACKGROUND = 60

# MNE's own fit to the 10-20 positions (mne.bem.fit_sphere_to_headshape), rounded: an optimiser makes the fit, and
# these numbers must not move with its version. Metres, head frame.
CENTRE, RADIUS = (0.0, 0.016, 0.045), 0.0956
CORTEX = 0.7  # the distance of a rhythm's source from CENTRE in RADIUS: about 3 cm under the electrode


@dataclass(frozen=True, eq=False)
class Head:
    """One subject. Dipole rows: left motor, right motor, occipital, then the background. Moments in nAm."""

    peak_hz: Float[np.ndarray, " rhythm"]  # of the three rhythms
    drop: float  # fraction of the rhythm's amplitude that imagery removes
    positions: Float[np.ndarray, "dipole 3"]  # metres, head frame
    orientations: Float[np.ndarray, "dipole 3"]  # unit vectors
    moment_rms: Float[np.ndarray, " dipole"]
    sensor_uv: float  # standard deviation of the white noise


def source_positions(subject: str) -> Float[np.ndarray, "source 3"]:
    """The places of a subject's two motor rhythms: metres in the head frame, left hemisphere first."""
    return _head(subject).positions[:2].copy()


def lead_field(subject: str) -> Float[np.ndarray, "channel source"]:
    """Microvolts at each electrode per nAm of a subject's left and right motor rhythm, in that order."""
    head = _head(subject)
    return _gain(head.positions[:2], head.orientations[:2])


def make(root: Path) -> None:
    """Simulate every absent subject, and write one FIF file each into `root`, and its SHA-256 beside it."""
    if all(source.path.exists() for source in sources(root)):
        return
    root.mkdir(parents=True, exist_ok=True)
    with only_one(root):
        for source in sources(root):
            if source.path.exists():
                continue
            with whole(source.path) as temporary:
                _simulate(source.subject).save(temporary, overwrite=True, verbose=False)
                _remember(
                    root / SUMS, source.path.name, sha256_of(temporary)
                )  # before the file has its name


def _remember(sums: Path, name: str, sha256: str) -> None:
    """Put the sum of a file into the list, in the place of an older one."""
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines() if sums.exists() else []
    others = [line for line in lines if not line.endswith(f"  {name}")]
    write_text(sums, "\n".join([*others, f"{sha256}  {name}\n"]))


def sources(root: Path) -> list[Source]:
    """One recording per subject."""
    return [
        Source(subject, f"synthetic_{subject}", split, root / f"synthetic_{subject}_raw.fif")
        for split, subjects in SPLITS.items()
        for subject in subjects
    ]


def read(source: Source) -> Recording:
    """The recording in microvolts; the description of a trial's event is its class."""
    try:
        raw = mne.io.read_raw_fif(source.path, preload=True, verbose="error")
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{source.path} cannot be read ({type(error).__name__}: {error}). {MAKE_AGAIN}"
        ) from error
    if raw.info["description"] != PROTOCOL:
        raise EegfmError(
            f"{source.path} was made as {raw.info['description']!r}; {PROTOCOL} is wanted. {MAKE_AGAIN}"
        )
    return Recording.from_mne(raw, channels=CHANNELS, path=source.path)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Every trial, from its cue on."""
    return [Window(event.onset_s, CLASSES.index(event.description)) for event in recording.events]


def _rng(subject: str, stream: int) -> np.random.Generator:
    if subject not in SUBJECTS:
        raise EegfmError(f"synthetic has no subject {subject!r}; it has {', '.join(SUBJECTS)}.")
    return np.random.default_rng((SEED, int(subject[1:]), stream))


@cache
def _head(subject: str) -> Head:
    """Draw a subject's head; all strengths give microvolts like those of a real recording."""
    rng = _rng(subject, stream=0)
    scalp = montage_of(CHANNELS).coords - CENTRE
    scalp = scalp / np.linalg.norm(scalp, axis=1, keepdims=True)
    o1, o2 = (scalp[CHANNELS.index(name)] for name in ("O1", "O2"))
    over = np.stack([scalp[CHANNELS.index("C3")], scalp[CHANNELS.index("C4")], _unit(o1 + o2)])
    shift = rng.normal(0, 0.003, (3, 3))  # each head differs by some millimetres
    rhythms = CENTRE + CORTEX * RADIUS * over + shift
    radial = _unit(over + rng.normal(0, 0.2, (3, 3)))  # within some 15 degrees
    depth = rng.uniform(0, 1, (N_BACKGROUND, 1)) ** (1 / 3)  # uniform in volume
    background = 0.8 * RADIUS * depth * _unit(rng.normal(size=(N_BACKGROUND, 3)))
    background[:, 2] = np.abs(background[:, 2])  # there is no cortex below the ears
    # rms in µV at the electrode that sees the rhythm best; no brain is quite symmetric
    rhythm_uv = np.append(rng.uniform(17, 25) * rng.uniform(0.9, 1.1, 2), rng.uniform(10, 25))
    rhythm_rms = rhythm_uv / np.abs(_gain(rhythms, radial)).max(axis=0)
    return Head(
        peak_hz=rng.uniform(9, 12, 3),
        drop=rng.uniform(0.55, 0.75),
        positions=np.concatenate([rhythms, CENTRE + background]),
        orientations=np.concatenate([radial, _unit(rng.normal(size=(N_BACKGROUND, 3)))]),
        moment_rms=np.append(rhythm_rms, np.full(N_BACKGROUND, rng.uniform(18, 30))),
        sensor_uv=rng.uniform(0.5, 1.5),
    )


def _simulate(subject: str) -> "mne.io.RawArray":
    from scipy.signal.windows import tukey  # takes a second to load, and only this function needs it

    head, rng = _head(subject), _rng(subject, stream=1)
    trial_s = PAUSE_S + WINDOW_S
    n_times, n_window = round(N_TRIALS * trial_s * SFREQ), round(WINDOW_S * SFREQ)
    labels = rng.permutation(np.arange(N_TRIALS) % 2)
    onsets_s = PAUSE_S + trial_s * np.arange(N_TRIALS)

    strength = np.ones((2, n_times))  # of the left and the right motor rhythm
    attended = rng.random(N_TRIALS) >= LAPSES
    drop = head.drop * tukey(n_window, 0.25)  # half a second down and half a second up
    for label, onset_s in zip(labels[attended], onsets_s[attended], strict=True):
        start = round(onset_s * SFREQ)
        strength[1 - label, start : start + n_window] -= drop  # "left" (0) drops the right hemisphere (1)

    hz = np.fft.rfftfreq(n_times, 1 / SFREQ)
    rhythms = _noise(rng, np.exp(-0.5 * (hz - head.peak_hz[:, None]) ** 2), n_times)  # 1 Hz to either side
    rhythms[:2] *= strength
    # power falls as 1/f; no drift, as after an amplifier's high-pass
    pink = np.where(hz < 0.5, 0.0, np.maximum(hz, 1.0) ** -0.5)
    moments = np.concatenate([rhythms, _noise(rng, np.tile(pink, (N_BACKGROUND, 1)), n_times)])

    mixing = _gain(head.positions, head.orientations) * head.moment_rms
    # not BLAS (@), whose last digit may change with the number of threads
    data_uv = np.einsum("cd,dt->ct", mixing, moments)
    data_uv += head.sensor_uv * rng.standard_normal(data_uv.shape)
    raw = mne.io.RawArray(data_uv * 1e-6, _info(), verbose=False)
    return raw.set_annotations(mne.Annotations(onsets_s, WINDOW_S, [CLASSES[label] for label in labels]))


def _noise(
    rng: np.random.Generator, amplitude: Float[np.ndarray, "series frequency"], n_times: int
) -> Float[np.ndarray, "series time"]:
    """Gaussian noise of unit variance whose spectrum has the given shape."""
    real, imaginary = rng.standard_normal((2, *amplitude.shape))
    series = np.fft.irfft(amplitude * (real + 1j * imaginary), n_times)
    return series / series.std(axis=1, keepdims=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _info() -> "mne.Info":
    places = dict(zip(CHANNELS, montage_of(CHANNELS).coords, strict=True))
    info = mne.create_info(list(CHANNELS), SFREQ, "eeg")
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    info["description"] = PROTOCOL
    return info


@cache
def _sphere() -> "mne.bem.ConductorModel":
    return mne.make_sphere_model(CENTRE, RADIUS, verbose=False)


def _gain(
    positions: Float[np.ndarray, "dipole 3"], orientations: Float[np.ndarray, "dipole 3"]
) -> Float[np.ndarray, "channel dipole"]:
    """MNE's forward solution, in microvolts per nAm."""
    ones = np.ones(len(positions))
    dipoles = mne.Dipole(np.arange(len(positions)), positions, ones, orientations, ones)
    forward, _ = mne.make_forward_dipole(dipoles, _sphere(), _info(), verbose=False)
    assert forward is not None
    return forward["sol"]["data"].astype(np.float64) * 1e6 * 1e-9


SYNTHETIC = BenchmarkSpec(
    name="synthetic",
    title="Synthetic (simulated motor imagery)",
    protocol=PROTOCOL,
    classes=CLASSES,
    channels=CHANNELS,
    sfreq=SFREQ,
    window_s=WINDOW_S,
    steps=(),  # simulated at the stored rate, in the stored order
    splits=SPLITS,
    census=Census(
        recordings=14,
        windows=840,
        per_split={"train": 480, "val": 180, "test": 180},
        per_class={"train": (240, 240), "val": (90, 90), "test": (90, 90)},
        source="this file: 14 subjects of 60 trials, half of each class",
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="Made on this computer by MNE-Python's forward model; no person was recorded.",
    licence="MIT, as the rest of eegfm: the data are its output",
    access="Nothing to ask for: preparing it makes it.",
    citation="Gramfort et al. 2013, MEG and EEG data analysis with MNE-Python, doi:10.3389/fnins.2013.00267",
    raw_sfreq=(SFREQ,),
    simulated=True,
    make=make,
)
