"""What the two corpora of Temple University Hospital have in common: folders, bipolar rows, terms of use."""

from collections.abc import Sequence
from pathlib import Path

from eegfm.benchmarks.spec import LeftOut, Source
from eegfm.signal.formats.edf import channel_names, read_edf
from eegfm.signal.recording import Recording
from eegfm.signal.steps import BandPass, Bipolar, Notch, Resample, Step

# the two outer and the two inner chains of the TCP montage, as the protocols of both TUH corpora order them
ROWS = tuple(
    (
        "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 "
        "FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2"
    ).split()
)
ELECTRODES = tuple(dict.fromkeys(name for row in ROWS for name in row.split("-")))
SFREQ = 200.0
STEPS: tuple[Step, ...] = (Resample(SFREQ), BandPass(low=0.3, high=75), Notch(60.0), Bipolar(ROWS))
RAW_SFREQ = (250.0, 256.0, 400.0, 512.0)
LICENCE = "TUH EEG data sharing agreement of Temple University: not to be passed on"
HOME = "https://isip.piconepress.com/projects/nedc/html/tuh_eeg/"
POOL = "tuh"  # corpora of the hospital are parts of the TUH EEG Corpus and keep its names of patients


def edf_folder(root: Path, corpus: str, version: str) -> Path:
    """Where `train` and `eval` lie: `root` itself or its `edf` folder, that of the wanted version where it is named."""
    of_version = Path(f"v{version}") / "edf"
    for place in (root / of_version, root / corpus / of_version, root / "edf"):
        if place.is_dir():
            return place
    return root


def first_80_percent(subjects: set[str]) -> set[str]:
    """The first int(0.8 n) of the subjects in alphabetical order."""
    return set(sorted(subjects)[: int(len(subjects) * 0.8)])


def read_electrodes(source: Source, *, references: Sequence[str]) -> Recording:
    """The electrodes of the bipolar rows, from channels such as "EEG FP1-REF", all with one of the given references.

    Raises LeftOut where a file that is sound lacks one of them.
    """
    there = channel_names(source.path)
    lacking = {}
    for reference in references:
        ours = {f"EEG {name}-{reference}": name for name in ELECTRODES}
        missing = [name for name in ours if name not in there]
        if not missing:
            return read_edf(source.path, channels=ours).in_one_piece()
        lacking[reference] = missing
    fewest = min(lacking.values(), key=len)
    raise LeftOut(
        f"{source.path} lacks {len(fewest)} of the {len(ELECTRODES)} electrodes ({', '.join(fewest)}), so that its "
        f"bipolar rows cannot be made. It has {', '.join(there)}."
    )
