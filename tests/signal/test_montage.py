"""Places in MNE's head frame: equal to MNE's, anatomically plausible, and refused where unknown."""

import warnings

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eegfm.benchmarks.mental_arithmetic import CHANNELS as MENTAL_ARITHMETIC
from eegfm.benchmarks.physionet_mi import CHANNELS as PHYSIONET_MI
from eegfm.contracts import EegfmError
from eegfm.signal.montage import TEN_TEN, electrode_of, from_above, layout, montage_of, template_frame

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


def test_the_published_layout_is_the_workbooks():
    """94 rows in MNE's order, which is the workbook's (samples of it by eye), at MNE's places, no warning asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        published = layout("standard_1020", frame="template")
    builtin = mne.channels.get_builtin_montages()
    name = "colin27_1020" if "colin27_1020" in builtin else "standard_1020"
    positions = mne.channels.make_standard_montage(name).get_positions()
    assert positions["coord_frame"] == "mri"
    assert published.names == tuple(positions["ch_pos"]) and len(published.names) == 94
    np.testing.assert_array_equal(published.coords, [*positions["ch_pos"].values()])
    assert published.names[:4] == ("Fp1", "Fpz", "Fp2", "AF9")
    assert published.names[-12:] == tuple("O2 O9 Iz O10 T3 T5 T4 T6 M1 M2 A1 A2".split())
    assert len({tuple(place) for place in published.coords}) == 90


def test_the_distinct_layout_is_the_published_one_without_its_repeats():
    distinct, published = layout("distinct"), layout("standard_1020")
    assert len(distinct.names) == 90
    assert set(published.names) - set(distinct.names) == {"T3", "T4", "T5", "T6"}
    assert {tuple(place) for place in distinct.coords} == {tuple(place) for place in published.coords}
    assert len({tuple(place) for place in distinct.coords}) == 90


def test_ten_ten_is_what_bci2000_records():
    assert set(TEN_TEN) == set(PHYSIONET_MI) and len(TEN_TEN) == 64
    assert layout("ten_ten").names == TEN_TEN
    np.testing.assert_allclose(layout("ten_ten").coords, montage_of(TEN_TEN).coords, atol=1e-8)


@pytest.mark.parametrize("name", ["standard_1020", "distinct", "ten_ten"])
def test_layouts_lie_where_the_channels_do(name):
    """In the head frame, as all coordinates of a data set; those of two names that only the 10-20 template has too."""
    found = layout(name)
    known = [row for row, electrode in enumerate(found.names) if electrode not in ("O9", "O10")]
    here = montage_of([found.names[row] for row in known]).coords
    np.testing.assert_allclose(found.coords[known], here, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        template_frame(found.coords), layout(name, frame="template").coords, atol=1e-15
    )


def test_the_frames_are_fifty_millimetres_apart():
    """The transform that was measured on the published workbooks: 3.25 degrees about x, 0.2 about z, and a shift."""
    there, here = layout("ten_ten", frame="template").coords, layout("ten_ten").coords
    apart = np.linalg.norm(here - there, axis=1)
    assert apart.mean() == pytest.approx(0.052, abs=0.003) and apart.min() > 0.04
    middle_here, middle_there = here.mean(axis=0), there.mean(axis=0)
    u, _, v = np.linalg.svd((there - middle_there).T @ (here - middle_here))
    rotation = (u @ v).T
    about_x, about_z = (
        np.arctan2(rotation[2, 1], rotation[2, 2]),
        np.arctan2(rotation[1, 0], rotation[0, 0]),
    )
    assert np.degrees((-about_x, -about_z)) == pytest.approx((3.25, 0.2), abs=0.01)
    shift = middle_here - rotation @ middle_there
    assert 1000 * shift == pytest.approx((-1.76, 31.09, 39.60), abs=0.01)
    np.testing.assert_allclose(there @ rotation.T + shift, here, atol=1e-8)


@given(st.lists(st.tuples(*[st.floats(-0.15, 0.15)] * 3), min_size=2, max_size=6))
def test_between_frames_distances_stay(places):
    coords = np.array(places)
    moved = template_frame(coords)
    np.testing.assert_allclose(
        np.linalg.norm(moved[:, None] - moved, axis=-1),
        np.linalg.norm(coords[:, None] - coords, axis=-1),
        atol=1e-9,
    )


def test_no_place_stays_no_place_in_the_other_frame():
    moved = template_frame(montage_of(("Cz", "A2-A1")).coords)
    assert np.isfinite(moved[0]).all() and np.isnan(moved[1]).all()


def test_a_layout_from_a_csv(tmp_path):
    path = tmp_path / "cap.csv"
    path.write_text("name,x,y,z,maker\nA,0.01,0.02,0.1,me\nB,-0.01,0.02,0.1,me\n", encoding="utf-8")
    found = layout(str(path))
    assert found.names == ("A", "B")
    np.testing.assert_array_equal(found.coords, [[0.01, 0.02, 0.1], [-0.01, 0.02, 0.1]])
    np.testing.assert_array_equal(layout(str(path), "template").coords, template_frame(found.coords))


def test_a_layout_from_a_digitised_head(tmp_path, template):
    """What MNE writes comes back in the head frame, whatever frame it was written in."""
    path = tmp_path / "cap_dig.fif"
    template.save(path, verbose="error")
    found = layout(str(path))
    here = montage_of(TEN_TEN)
    rows = [found.names.index(name) for name in TEN_TEN]
    np.testing.assert_allclose(found.coords[rows], here.coords, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,x,y,z\nCz,0,0,102\n", r"reach 102, where metres"),
        ("name,x,y\nCz,0,0\n", r"has the columns name, x, y; name, x, y, z are wanted"),
        ("name,x,y,z\nCz,0,0,high\n", r"line 2: x, y, z must be three numbers"),
        ("name,x,y,z\nCz,0,0,0.1\nCz,0,0,0.1\n", r"line 3: 'Cz' is there twice"),
        ("name,x,y,z\nCz,0,0,nan\n", r"where metres"),
        ("name,x,y,z\n", r"holds no electrode"),
    ],
)
def test_a_csv_that_is_no_layout_is_refused(tmp_path, text, sentence):
    path = tmp_path / "cap.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EegfmError, match=sentence):
        layout(str(path))


def test_other_names_frames_and_files_are_refused(tmp_path):
    with pytest.raises(EegfmError, match=r"'ten-ten' is neither a layout nor a file.*distinct, ten_ten"):
        layout("ten-ten")
    with pytest.raises(EegfmError, match=r"frame='mri' is not a choice. Choose one of: head, template"):
        layout("distinct", frame="mri")
    path = tmp_path / "cap.elc"
    path.write_text("nothing of that kind", encoding="utf-8")
    with pytest.raises(EegfmError, match="cannot be read as a file of electrodes"):
        layout(str(path))
    path = tmp_path / "cap.xyz"
    path.write_text("1\t0.0\t0.0\t0.1\tCz\n2\t0.0\t0.05\t0.08\tFz\n", encoding="utf-8")
    with pytest.raises(EegfmError, match="no ear points and nasion, so its frame is not known"):
        layout(str(path))


def test_a_layout_is_the_callers_own():
    layout("distinct").coords[:] = 0
    assert layout("distinct").coords.max() > 0.1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("EEG FP1-REF", "Fp1"),
        ("Fc5.", "FC5"),
        ("T3", "T7"),
        ("EEG T5-LE", "P7"),
        ("C3-A2", "C3"),
        ("POL afz", "AFz"),
        ("EEG-Fz", "Fz"),
        ("FP1 - F7", "Fp1-F7"),
        ("cb1", "CB1"),
        ("EEG A2-A1", None),
        ("ECG ECG", None),
        ("EOG left", None),
        ("E12", None),
        ("Status", None),
        ("EEG-0", None),
        ("-", None),
        ("", None),
    ],
)
def test_the_electrode_that_a_name_in_a_file_means(written, meant):
    assert electrode_of(written) == meant
    if meant:
        assert np.isfinite(montage_of([meant]).coords).all()
