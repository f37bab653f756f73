"""Places in MNE's head frame: equal to MNE's, anatomically plausible, and refused where unknown."""

import mne
import numpy as np
import pytest

from eegfm.benchmarks.mental_arithmetic import CHANNELS as MENTAL_ARITHMETIC
from eegfm.benchmarks.physionet_mi import CHANNELS as PHYSIONET_MI
from eegfm.contracts import EegfmError
from eegfm.signal.montage import from_above, montage_of

TEMPLATE = "colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005"


@pytest.fixture(scope="module")
def template():
    return mne.channels.make_standard_montage(TEMPLATE)


def at(name):
    return montage_of((name,)).coords[0]


def test_every_place_of_the_template_is_where_a_raw_of_mne_has_it(template):
    """The rows' own `loc`, which MNE documents as metres in the head frame."""
    info = mne.create_info(template.ch_names, 100.0, "eeg").set_montage(template)
    assert {int(channel["coord_frame"]) for channel in info["chs"]} == {4}  # FIFFV_COORD_HEAD
    expected = np.array([channel["loc"][:3] for channel in info["chs"]])
    montage = montage_of(template.ch_names)
    assert montage.names == tuple(template.ch_names)
    np.testing.assert_allclose(montage.coords, expected, rtol=0, atol=1e-12)


def test_the_frame_is_that_of_ears_and_nose(template):
    """Without any transform of MNE's: every place is as far from a nasion on the +y axis and from ear points on the x
    axis as it is from those of the template, and the crown is up."""
    positions = template.get_positions()
    lpa, rpa, nasion = (positions[key] for key in ("lpa", "rpa", "nasion"))
    ears = (rpa - lpa) / np.linalg.norm(rpa - lpa)
    origin = lpa + ears * np.dot(nasion - lpa, ears)  # the foot of the nasion on the line through the ears
    here = {
        "lpa": np.array([-np.linalg.norm(lpa - origin), 0, 0]),
        "rpa": np.array([np.linalg.norm(rpa - origin), 0, 0]),
        "nasion": np.array([0, np.linalg.norm(nasion - origin), 0]),
    }
    for name in PHYSIONET_MI:
        for fiducial, place in here.items():
            distance = np.linalg.norm(positions["ch_pos"][name] - positions[fiducial])
            assert np.linalg.norm(at(name) - place) == pytest.approx(distance, abs=1e-6), (name, fiducial)
    assert at("Cz")[2] > 0.1


def test_left_is_left_and_front_is_front():
    for left, right in (("C3", "C4"), ("F7", "F8"), ("O1", "O2"), ("T9", "T10")):
        assert at(left)[0] < -0.02 and at(right)[0] > 0.02
        np.testing.assert_allclose(at(left)[1:], at(right)[1:], atol=0.01)  # near enough to a mirror image
    assert at("Fpz")[1] > at("Fz")[1] > at("Cz")[1] > at("Pz")[1] > at("Oz")[1]
    assert at("Cz")[2] > at("Fz")[2] > at("Fpz")[2] and at("Cz")[2] > at("T7")[2] + 0.1
    assert np.abs(montage_of(PHYSIONET_MI).coords).max() < 0.15  # metres, not millimetres


@pytest.mark.parametrize(
    ("old", "new"), [("T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8"), ("t3", "T7")]
)
def test_old_names_are_the_same_places(old, new):
    np.testing.assert_array_equal(at(old), at(new))


def test_names_are_kept_as_given_whatever_their_case():
    montage = montage_of(("FP1", "fcz", "CPZ"))
    assert montage.names == ("FP1", "fcz", "CPZ")
    np.testing.assert_array_equal(montage.coords, montage_of(("Fp1", "FCz", "CPz")).coords)


@pytest.mark.parametrize("names", [MENTAL_ARITHMETIC, PHYSIONET_MI])
def test_only_what_is_no_place_has_no_place(names):
    montage = montage_of(names)
    nowhere = [
        name for name, place in zip(montage.names, montage.coords, strict=True) if np.isnan(place).any()
    ]
    assert nowhere == [name for name in names if name == "A2-A1"]
    assert len({tuple(place) for place in montage.coords}) == len(names)


def test_an_unknown_name_is_refused_with_close_ones():
    with pytest.raises(EegfmError, match=r"'Fcz\.' \(close: .*fcz.*'EKG'"):
        montage_of(("Cz", "Fcz.", "EKG"))


def test_a_montage_is_the_callers_own():
    montage_of(("Cz",)).coords[:] = 0
    assert at("Cz")[2] > 0.1


def test_a_bipolar_row_lies_between_its_electrodes():
    montage = montage_of(("FP1-F7", "C3-C4", "Cz"))
    assert montage.names == ("FP1-F7", "C3-C4", "Cz")
    np.testing.assert_allclose(montage.coords[0], (at("Fp1") + at("F7")) / 2, atol=1e-15)
    assert abs(montage.coords[1, 0]) < 0.01
    assert montage.ends is not None
    np.testing.assert_array_equal(montage.ends[0], [at("Fp1"), at("F7")])
    np.testing.assert_array_equal(montage.ends[2], [at("Cz"), at("Cz")])
    assert montage_of(("Cz", "A2-A1")).ends is None


def test_a_bipolar_row_with_an_unknown_end_is_refused():
    with pytest.raises(EegfmError, match=r"10-05 system: 'XX1'"):
        montage_of(("FP1-XX1",))


def test_the_cerebellar_electrodes_of_seed_lie_below_the_parieto_occipital_ones():
    for cerebellar, above in (("CB1", "PO7"), ("CB2", "PO8")):
        low, high = at(cerebellar), at(above)
        assert low[2] < high[2] - 0.01 and np.sign(low[0]) == np.sign(high[0])


def test_from_above_the_outline_is_at_the_ears_and_forehead_and_left_is_left():
    """T7, T8, Fpz and Oz lie about on the outline, which is 1 from the middle; Cz about in it; the nose is up."""
    names = ("Cz", "T7", "T8", "Fpz", "Oz", "F3", "F4")
    seen = dict(zip(names, from_above(montage_of(names).coords), strict=True))
    assert np.hypot(*seen["Cz"]) < 0.1
    for name, x, y in (("T7", -1, 0), ("T8", 1, 0), ("Fpz", 0, 1), ("Oz", 0, -1)):
        assert seen[name] == pytest.approx((x, y), abs=0.2)
    assert seen["F3"][0] < 0 < seen["F4"][0] and min(seen["F3"][1], seen["F4"][1]) > 0
    assert np.isnan(from_above(np.full((1, 3), np.nan))).all()
