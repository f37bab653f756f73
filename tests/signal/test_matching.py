"""Channels of anybody's file: by name, by the place that the file gives them, or all that have a place."""

from pathlib import Path

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.matching import NEAR_M, everywhere, matched
from eegfm.signal.montage import montage_of

FILE = Path("a.edf")
WANTED = ["Fp1", "T7", "Cz"]


def places(**moved_m: tuple[str, float]) -> dict[str, np.ndarray]:
    """Channels of other names, each so many metres beside an electrode."""
    return {
        name: montage_of([electrode]).coords[0] + [0, 0, metres]
        for name, (electrode, metres) in moved_m.items()
    }


def test_a_channel_without_a_known_name_is_taken_by_its_place():
    there = ["E1", "E2", "EEG T3-REF", "E3"]
    at = places(E1=("Fp1", 0.01), E2=("Cz", -0.004), E3=("Cz", 0.006))
    assert matched(there, WANTED, FILE, at) == {"E1": "Fp1", "EEG T3-REF": "T7", "E2": "Cz"}
    assert [*matched(there, WANTED, FILE, at).values()] == WANTED


def test_a_place_too_far_away_or_taken_already_is_none():
    far = places(E1=("Fp1", NEAR_M + 1e-4), E2=("Cz", 0))
    with pytest.raises(EegfmError, match=r"lacks 1 of the 3 channels of this run: Fp1\. It has E1, E2, T3"):
        matched(["E1", "E2", "T3"], WANTED, FILE, far)
    named = places(T3=("Fp1", 0), E2=("Cz", 0))  # T3 is wanted under its own name
    with pytest.raises(EegfmError, match=r"of this run: Fp1\."):
        matched(["T3", "E2"], WANTED, FILE, named)
    one = places(E1=("Fp1", 0.001), E2=("Cz", 0))  # one electrode cannot be two
    with pytest.raises(EegfmError, match="lacks 1 of the 3"):
        matched(["E1", "E2", "T3"], ["Fp1", "AFp1", "Cz"], FILE, one)


def test_all_channels_with_a_place_come_under_names_of_today_and_no_place_twice():
    at = places(E7=("C1", 0.002), Fz=("Cz", 0))
    there = ["EEG Fp1-REF", "ECG", "T3", "T7", "C3-A2", "EEG A2-A1", "Fp2-F8", "E7", "Fz"]
    channels, montage = everywhere(there, at, FILE)
    assert channels == {
        "EEG Fp1-REF": "Fp1", "T3": "T7", "C3-A2": "C3", "Fp2-F8": "Fp2-F8", "E7": "E7", "Fz": "Fz",
    }  # fmt: skip
    assert montage.names == tuple(channels.values())
    np.testing.assert_array_equal(montage.coords[4], at["E7"])
    # a known name has the place that training gave it, whatever was digitised
    np.testing.assert_array_equal(montage.coords[5], montage_of(["Fz"]).coords[0])
    np.testing.assert_array_equal(montage.coords[2], montage_of(["C3"]).coords[0])


def test_a_file_without_any_place_says_what_it_has():
    with pytest.raises(EegfmError, match=r"no channel whose name is a place .* it has ECG, X1\. Rename"):
        everywhere(["ECG", "X1"], {}, FILE)
