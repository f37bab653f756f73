"""What a run tells about places on the scalp: spectra and maps in their true range, judged by a known truth."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eegfm.analysis import maps
from eegfm.analysis.places import FRAMES, START, Frames, Look, read_frames
from eegfm.benchmarks.synthetic import CHANNELS, lead_field
from eegfm.contracts import Montage, SampleSpec
from eegfm.report import main as report
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import places
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.reservations import spatial_sentences
from eegfm.runs.results import read_result, write_result
from eegfm.signal.montage import layout, montage_of
from tests.made_run import make_run
from tests.tasks.test_reconstruct import door

SUBJECTS = ("S09", "S10")
NINETEEN = montage_of(CHANNELS)


def looked(weights, **importance):
    weights = np.asarray(weights, dtype=np.float32)
    return Look(weights, {"column_mean": np.abs(weights).mean(axis=0), **importance})


@pytest.fixture(scope="module")
def true():
    found = maps.truth("synthetic", NINETEEN, SUBJECTS)
    assert found is not None
    return found


def test_the_truth_is_the_lead_field_and_follows_the_names(true):
    """Largest under the two motor electrodes; in another order, and T7 by its old name, they are the same."""
    for row, name in enumerate(CHANNELS):
        each = [np.sqrt((lead_field(s)[row, 0] ** 2 + lead_field(s)[row, 1] ** 2) / 2) for s in SUBJECTS]
        assert true[row] == pytest.approx(np.mean(each), rel=1e-12), name
    assert {CHANNELS[row] for row in np.argsort(true)[-2:]} == {"C3", "C4"}
    order = np.random.default_rng(0).permutation(19)
    names = [{"T7": "T3"}.get(CHANNELS[row], CHANNELS[row]) for row in order]
    other = maps.truth("synthetic", montage_of(names), SUBJECTS)
    assert other is not None
    np.testing.assert_array_equal(other, true[order])
    assert maps.truth("mental_arithmetic", NINETEEN, SUBJECTS) is None


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20, unique=True), st.integers(0, 2**31))
def test_the_rank_correlation_is_spearmans(values, seed):
    """Without ties, one less six times the squared differences of ranks over n (n^2 - 1)."""
    a = np.array(values, dtype=float)
    b = np.random.default_rng(seed).permutation(len(a)).astype(float)
    rank = [np.argsort(np.argsort(x)) for x in (a, b)]
    n = len(a)
    expected = 1 - 6 * np.square(rank[0] - rank[1]).sum() / (n * (n**2 - 1))
    assert maps.rank_correlation(a, b) == pytest.approx(expected, abs=1e-9)
    assert maps.rank_correlation(np.exp(a / 50), a) == pytest.approx(1)  # of ranks: any rising function


def test_channels_that_matter_alike_have_no_rank():
    assert np.isnan(maps.rank_correlation(np.ones(5), np.arange(5.0)))


def test_the_facts_hold_spectra_of_start_and_end_and_the_judgement(true, tmp_path):
    random = np.random.default_rng(0)
    start, end = looked(np.full((8, 19), 1 / 19)), looked(random.random((8, 19)), gradient=3 * true)
    found = maps.facts({"synthetic": start}, {"synthetic": end}, {"synthetic": NINETEEN}, SUBJECTS)[
        "synthetic"
    ]
    assert found["channels"] == list(CHANNELS) and found["targets"] == 8
    assert found["start"]["second"] < 1e-6 and found["start"]["effective_rank"] == pytest.approx(
        1, abs=1e-4
    )
    values = np.linalg.svd(end.weights.astype(float), compute_uv=False)
    np.testing.assert_allclose(found["end"]["singular_values"], values[:8] / values[0], rtol=1e-4)
    assert found["end"]["rank_correlation"]["gradient"] == pytest.approx(1)
    assert abs(found["end"]["rank_correlation"]["column_mean"]) < 0.8
    assert (
        np.isnan(found["start"]["rank_correlation"]["column_mean"])
        and "gradient" not in found["start"]["rank_correlation"]
    )
    # through a file and into a sentence
    result = make_run(tmp_path / "run", 1)
    write_result(tmp_path / "run", replace(result, spatial={"synthetic": found}))
    (said,) = spatial_sentences(read_result(tmp_path / "run").spatial)
    assert re.search(r"second singular value .* → 0\.\d+ of the first, effective rank 1\.0 → \d", said)
    assert "(19 channels seen from 8 places)" in said and "gradient ρ – → 1.00, r – → 1.00" in said
    assert "column mean ρ – → " in said


def test_without_a_start_or_a_truth_there_is_an_end():
    spaces = {"a": NINETEEN, "b": montage_of(("C3", "Cz", "C4"))}
    end = {"a": looked(np.eye(19)), "b": looked(np.ones((4, 3)) / 3)}
    found = maps.facts({}, end, spaces, ())
    assert all(set(one) == {"channels", "targets", "end"} for one in found.values())
    assert len(spatial_sentences(found)) == 2 and "lead field" not in "".join(spatial_sentences(found))
    assert spatial_sentences(found)[1].startswith("spatial matrix of b: second singular value ")
    assert spatial_sentences({}) == []


def test_a_mix_has_a_montage_a_corpus():
    three = montage_of(("C3", "Cz", "C4"))
    spec = SampleSpec(NINETEEN, (19, 800), 200.0, ())
    assert maps.montages(spec, "synthetic") == {"synthetic": NINETEEN}
    own = replace(spec, corpora=("a", "b"), montages=(NINETEEN, three))
    assert maps.montages(own, "a+b") == {"a": NINETEEN, "b": three}


def drawn_of(true, frames=3):
    random = np.random.default_rng(1)
    start, end = (
        looked(0.05 + 0.001 * random.random((8, 19))),
        looked(random.random((8, 19)), gradient=true),
    )
    weights = random.random((frames, 8, 19)).astype(np.float32)
    held = Frames(np.arange(START, frames - 1), weights, start)
    targets = layout("distinct")
    rows = np.linspace(0, 89, 8).round().astype(int)
    eight = Montage(tuple(targets.names[row] for row in rows), targets.coords[rows])
    each = ({"synthetic": one} for one in (start, end, held, NINETEEN))
    return (start, end), maps.draw(*each, eight, SUBJECTS, "a run")


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_every_map_has_its_true_range_beside_it_and_one_scale_for_all(true):
    """A flat map looks flat beside one that is not, where its own scale would have made a picture of it."""
    (start, end), drawn = drawn_of(true)
    assert set(drawn) == {f"spatial_{name}" for name in ("importance", "targets", "frames", "truth")}
    said = titles(drawn["spatial_importance"])
    for text, one in zip(said, (start, end), strict=True):
        values = one.importance["column_mean"]
        assert text.endswith(f"\n{values.min():.3g} to {values.max():.3g}")
    for figure in drawn.values():
        figure.draw_without_rendering()
        shown = [axis for axis in figure.axes if axis.get_title()]
        scales = {image.get_clim() for axis in shown for image in (*axis.images, *axis.collections)}
        assert len(scales) == 1
    low, high = scales.pop()
    shares = [
        true / true.sum(),
        *(one.importance["column_mean"] / one.importance["column_mean"].sum() for one in (start, end)),
    ]
    assert low == pytest.approx(min(map(np.min, shares))) and high == pytest.approx(
        max(map(np.max, shares))
    )
    frames = titles(drawn["spatial_frames"])
    assert [text.split("\n")[0] for text in frames] == ["start", "epoch 1", "epoch 2"]
    assert any(
        "gradient, tested weights\nρ 1.00, r 1.00" in text for text in titles(drawn["spatial_truth"])
    )
    assert len(titles(drawn["spatial_targets"])) == 2 * 5


def test_a_row_of_frames_has_ten_at_most_with_both_ends():
    weights = np.random.default_rng(0).random((37, 4, 19))
    shown = maps.over_epochs(Frames(np.arange(START, 36), weights, looked(weights[0])))
    assert len(shown) == FRAMES and next(iter(shown)) == "start" and list(shown)[-1] == "epoch 36"
    np.testing.assert_array_equal(shown["epoch 36"], weights[-1].mean(axis=0))


def test_well_known_targets_are_shown_by_name_else_some_of_all():
    targets = layout("standard_1020")
    assert [targets.names[row] for row in maps.shown_targets(targets)] == list(maps.SHOWN_TARGETS)
    other = Montage(tuple(f"E{i}" for i in range(30)), targets.coords[:30])
    assert len(maps.shown_targets(other)) == 5
    assert maps.shown_targets(Montage(("E1", "E2"), targets.coords[:2])) == [0, 1]


class Pictures(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.open = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])


def test_the_page_shows_every_figure_and_escapes_what_is_named():
    end = looked(np.random.default_rng(0).random((8, 3)))
    found = maps.facts({"<b>": end}, {"<b>": end}, {"<b>": montage_of(("C3", "Cz", "C4"))}, ())
    text = maps.page("a <i>run", found, {"spatial_importance": Path("figures/spatial_importance.png")})
    parsed = Pictures()
    parsed.feed(text)
    assert parsed.sources == ["figures/spatial_importance.png"]
    assert "<b>" not in text and "<i>" not in text and text.count("1.0000") == 2


def test_a_report_averages_over_seeds(tmp_path, capsys):
    for seed, second, rho in ((1, 0.2, 0.5), (2, 0.4, 0.7)):
        result = make_run(tmp_path / f"s{seed}", seed, data="synthetic")
        end = {"second": second, "effective_rank": 3.0, "rank_correlation": {"gradient": rho}}
        end["correlation"] = {"gradient": 0.8}
        spatial = {"synthetic": {"channels": ["C3", "C4"], "targets": 90, "end": end}}
        write_result(tmp_path / f"s{seed}", replace(result, spatial=spatial))
    runs, _ = read_runs(find_runs([tmp_path]))
    (group,) = group_runs(runs)[0]
    (said,) = places(group)
    assert "second singular value 0.3 of" in said and "gradient ρ 0.60, r 0.80" in said
    report([str(tmp_path), "--markdown", str(tmp_path / "r.md"), "--csv", str(tmp_path / "r.csv")])
    assert said in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "gradient ρ 0.60" in re.sub(r"\s+", " ", capsys.readouterr().out)
    rows = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()
    assert "spatial_synthetic_end_rank_correlation_gradient" in rows[0] and ",0.7," in rows[2]


LOOKER = """# @package _global_
defaults:
  - override /encoder: raw
  - override /task: classify
model: {_target_: tests.tasks.looker.Looker, _partial_: true}
task: {optimizer: {lr: 0.003}}
trainer: {max_epochs: 6, accelerator: cpu}
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_run_finds_the_source_and_shows_it(tmp_path):
    """Through the real command: trained, C3 and C4 matter most, which was not so before; all of it can be looked at."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "looker.yaml").write_text(LOOKER)
    said = door(
        tmp_path, "train", "--config-dir=conf", "model=looker", "data=synthetic", "selection.keep=last"
    )
    (folder,) = (tmp_path / "runs" / "single").iterdir()
    found = read_result(folder).spatial["synthetic"]
    assert spatial_sentences({"synthetic": found})[0] in said
    like = {when: found[when]["correlation"]["gradient"] for when in ("start", "end")}
    assert like["end"] > like["start"] + 0.2  # ranks say less here: see eegfm.analysis.maps
    for when, best in (("end", True), ("start", False)):
        strongest = np.argsort(found[when]["importance"]["gradient"])[-2:]
        assert ({found["channels"][row] for row in strongest} == {"C3", "C4"}) == best
    for name in ("importance", "targets", "frames", "truth"):
        with Image.open(folder / "figures" / f"spatial_{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert "figures/spatial_truth.png" in (folder / "spatial.html").read_text(encoding="utf-8")
    frames = read_frames(folder)["synthetic"]
    assert frames.epoch[0] == START and frames.epoch[-1] == 5
    plain = json.loads((folder / "result.json").read_text())["spatial"]["synthetic"]
    np.testing.assert_allclose(
        plain["end"]["importance"]["column_mean"], frames.weights[-1].mean(axis=0), rtol=1e-5
    )
