"""The page of the yardstick of pre-training, from runs of known scores, and the commands that it would type."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from eegfm.reporting.comparisons import holm, p_value
from eegfm.reporting.run_folders import Run, find_runs, read_runs
from eegfm.runs.results import read_result
from tests.composed import composed
from tests.made_run import make_run
from tests.test_walk import door

EXAMPLE = Path(__file__).parents[2] / "examples/pretraining_yardstick/yardstick.py"
PEOPLE = tuple(f"S{i:02d}" for i in range(8))
STARTS = (
    "bandpower",
    "probe, own start",
    "probe, pre-trained",
    "finetune, from scratch",
    "finetune, pre-trained",
)


@pytest.fixture(scope="module")
def yardstick():
    spec = importlib.util.spec_from_file_location("yardstick", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Scores [labels, start, seed, person] of two seeds and eight persons, and their runs, of two folds."""
    place, scores = (
        tmp_path_factory.mktemp("yardstick"),
        np.random.default_rng(0).uniform(0.5, 1, (2, 5, 2, 8)),
    )
    scores[:, 2] = scores[:, 1] + 0.1  # pre-training helps every probed person alike
    runs, made = [], make_run(place / "one", 0, tested=PEOPLE)
    for n, s, seed, person in np.ndindex(scores.shape):
        if person % 4:
            continue  # a run tests four persons
        rows = {
            PEOPLE[person + i]: {
                **made.by_subject["test"][PEOPLE[person + i]],
                "auroc": scores[n, s, seed, person + i],
            }
            for i in range(4)
        }
        use, _, start = STARTS[s].partition(", ")
        result = replace(
            made,
            seed=seed,
            model="eegm2" if start else use,
            adapt=f"eegm2_contrast_{use}" if start else None,
            started_from={"weights": "x", "left_out": []} if start == "pre-trained" else {},
            by_subject={"test": rows},
            benchmark=replace(
                made.benchmark,
                split={"name": "KFold", **({"train_windows": 16} if n == 0 else {})},
                subjects={"train": list(PEOPLE), "val": [], "test": []},
            ),
        )
        runs.append(Run(place / f"{n}{s}{seed}{person}", result, {}))
    return scores, runs


def test_the_page_has_means_over_persons_and_differences_tested_and_corrected_over_labels_and_uses(
    yardstick, known
):
    scores, runs = known
    told = yardstick.page(runs)
    means = scores.mean((2, 3))
    for n, labels in enumerate(("16", "all")):
        _, own, pre, scratch, tuned = means[n]
        cells = [f"{value:.3f}" for value in (pre, own, tuned, scratch, means[n, 0])]
        assert f"| {labels} | {' | '.join(cells)} | – | – |" in told
    people = scores.mean(2)  # [labels, start, person]
    differences = [people[n, a] - people[n, b] for n in (0, 1) for a, b in ((2, 1), (4, 3))]
    ps = [p_value(d.round(12)) for d in differences]
    corrected = holm(ps)
    rows = [line for line in told.splitlines() if "that differ" in line]
    own_rows = [row for row in rows if "| own start |" in row or "| from scratch |" in row]
    assert (
        len(rows) == 8 and len(own_rows) == 4
    )  # band power beside both uses as well, without a correction
    for row, difference, p, p_holm in zip(own_rows, differences, ps, corrected, strict=True):
        assert f"| {difference.mean():+.3f} [" in row and row.endswith(f"| {p:.4f} | {p_holm:.4f} |")
    assert own_rows[0].startswith("| 16 | probe | own start | +0.100 [+0.100, +0.100] | 8 of 8")
    assert "PARTIAL, 128 of 480 tests of a person: 32 runs; 8 of 8 persons tested, seeds 0, 1." in told


def test_a_probe_and_band_power_together_are_the_mean_of_their_probabilities(yardstick, tmp_path):
    """Oracle: scikit-learn's AUROC of every person."""
    band = make_run(tmp_path / "a", 1, tested=PEOPLE, model="bandpower")
    probe = make_run(tmp_path / "b", 1, tested=PEOPLE, model="eegm2")
    weights = {"weights": "x", "left_out": []}
    probe = replace(probe, adapt="eegm2_contrast_probe", started_from=weights)
    runs = [Run(tmp_path / "a", band, {}), Run(tmp_path / "b", probe, {})]
    tables = [run.predictions for run in runs]
    mean = sum(table.probabilities[:, 1] for table in tables) / 2
    who, label = np.array(tables[0].subjects), tables[0].labels
    found = yardstick.collected(runs, "eegm2")["mental_arithmetic", "all"]["both, pre-trained"]
    for person in PEOPLE:
        assert found[person][1] == pytest.approx(roc_auc_score(label[who == person], mean[who == person]))
    assert "| all | both | bandpower | " in yardstick.page(runs)


def test_some_persons_may_be_tested_alone_and_two_runs_of_one_cell_are_refused(yardstick, known):
    scores, runs = known
    told = yardstick.page(runs, only=PEOPLE[:6])
    difference = (scores[0, 4] - scores[0, 3]).mean(0)[:6]
    assert f"| 16 | finetune | from scratch | {difference.mean():+.3f} [" in told
    assert f"| {p_value(difference.round(12)):.4f} |" in told
    with pytest.raises(ValueError, match="folder of their own"):
        yardstick.page([*runs, runs[0]])
    other = replace(runs[-1].result, model="samba", adapt="samba_contrast_finetune")
    assert "## samba, mental_arithmetic" in yardstick.page([*runs, replace(runs[-1], result=other)])


def test_what_it_types_composes(yardstick, monkeypatch):
    typed = []
    monkeypatch.setattr(yardstick.subprocess, "run", lambda command, check: typed.append(command))
    for experiment in ("pretraining_yardstick_baselines", "pretraining_yardstick"):
        yardstick.run(
            experiment, "uci", "seed=1", yardstick.TASKS["uci"], ["trainer.max_steps=9", "split.fold=2"]
        )
    assert [command[1:4] for command in typed] == [["-m", "eegfm", "train"]] * 2
    assert "trainer.max_steps=9" in typed[1] and "trainer.max_steps=9" not in typed[0]
    for command in typed:  # what the person types replaces the range: two would be swept over both
        assert [word for word in command if word.startswith("split.fold=")] == ["split.fold=2"]
    for options in yardstick.TASKS.values():
        one = [option.replace("range(9)", "8").replace("range(7)", "6") for option in options]
        config = composed("experiment=pretraining_yardstick", "data=synthetic", "seed=1", *one)
        assert config.folder == "pretraining_yardstick" and config.data.train_windows is None


@pytest.mark.slow
def test_a_cell_of_it_runs_from_one_pre_training_with_its_contrast(yardstick, simulated, tmp_path):
    """Two steps of everything on a fold of simulated people; the pre-training sees all windows, the others 16."""
    place = simulated(tmp_path)
    uses = ("eegm2_contrast_probe", "eegm2_contrast_finetune")
    cell = ("data=synthetic", "seed=1", "split.fold=0", "data.train_windows=16", "weights=pretrain")
    small = (
        "model.width_scale=8",
        "trainer.max_steps=2",
        "pretrain.trainer.max_steps=2",
        "trainer.accelerator=cpu",
    )
    limits = ("trainer.limit_val_batches=1", "trainer.limit_test_batches=1")
    done = door(
        place,
        "train",
        "experiment=pretraining_yardstick",
        f"adapt={','.join(uses)}",
        *cell,
        *small,
        *limits,
    )
    assert done.returncode == 0, done.stderr
    runs, problems = read_runs(find_runs([place / "runs"]))
    first = {run.result.adapt: run for run in runs}
    assert not problems
    assert set(uses) <= set(first) and done.stdout.count("Pre-training first") == 1
    for use in uses:
        facts = first[use].result.benchmark
        assert facts.split["train_windows"] == 16 and sum(facts.census["train"]) == 16
        assert first[use].config["weights"] == "pretrain" and first[use].result.started_from
    before = next(place.glob("runs/pretraining_yardstick/*/reconstruction_test.csv")).parent
    curves = (before / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "train/contrast" in {name.removesuffix("_epoch") for name in curves}
    assert sum(read_result(before).benchmark.census["train"]) > 100
    assert "probe, pre-trained" in yardstick.page(runs)
