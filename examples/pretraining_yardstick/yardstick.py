"""Does pre-training help? Three real tasks and a simulated one by people, with few labels and many: runs and a page.

    cd examples/pretraining_yardstick
    EEGFM_DATA=<folder of mental_arithmetic, ssvep, uci> python yardstick.py      # all of it; it goes on where it was
    python yardstick.py seed=654 split.fold=0,1 --tasks synthetic                 # a part; options go to eegfm train
    python yardstick.py --page                                                    # only the page, of what there is
    python yardstick.py --page --only Subject14,Subject15                         # its tests over these persons alone

conf/experiment/pretraining_yardstick.yaml says what is run, and was fixed before it was. What is compared, on equal
folds and labels: the pre-trained network with its own initial weights, probed and trained whole; band power and tangent
space beside both; and the mean of the probabilities of the probe and of band power, which says whether it adds.
A person's score is the mean over the seeds at hand; differences are tested over persons, and p is corrected by Holm's
method over all numbers of labels and both uses of a task.
"""

import argparse
import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from eegfm.reporting.comparisons import Pair, compare, holm
from eegfm.reporting.run_folders import Run, find_runs, read_runs
from eegfm.runs.agreement import scores_of

RUNS = Path("runs/pretraining_yardstick")
SEEDS = (654, 114, 25, 759, 281)
TASKS = {  # what differs from the experiment
    "synthetic": [],
    "mental_arithmetic": [],
    "ssvep": ["split=loso", "split.fold=range(9)"],
    "uci": ["split.folds=7", "split.fold=range(7)"],
}
NETWORKS = {"uci": ["model.width_scale=1"]}  # 61 channels
METRIC = {
    "synthetic": "auroc",
    "mental_arithmetic": "auroc",
}  # within a person; of the others, balanced accuracy
LABELS = ("16", "48", "all")
USES = {"probe": "own start", "finetune": "from scratch"}  # what the other side of the comparison is called
Scores = dict[str, dict[str, dict[int, float]]]  # by start, person and seed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("options", nargs="*", help="for eegfm train: seed=654 trainer.max_steps=1000")
    parser.add_argument(
        "--tasks", default=",".join(TASKS), help=f"some of {', '.join(TASKS)}, with commas between"
    )
    parser.add_argument("--page", action="store_true", help="train nothing")
    parser.add_argument("--only", default="", help="test differences over these persons")
    parser.add_argument("--write", type=Path, default=Path("yardstick.md"))
    said = parser.parse_args()
    if unknown := {*said.tasks.split(",")} - {*TASKS}:
        parser.error(f"--tasks: there is no {', '.join(sorted(unknown))}. There are: {', '.join(TASKS)}")
    if not said.page:
        seeds = [option for option in said.options if option.startswith("seed=")]
        for seed in seeds or [
            f"seed={seed}" for seed in SEEDS
        ]:  # whole seeds, so that a part is worth something
            for task in said.tasks.split(","):
                rest = [option for option in said.options if option not in seeds]
                run("pretraining_yardstick_baselines", task, seed, TASKS[task], rest)
                run("pretraining_yardstick", task, seed, [*TASKS[task], *NETWORKS.get(task, [])], rest)
    try:
        folders = find_runs([RUNS])
    except ValueError as nothing:
        sys.exit(str(nothing))
    runs, problems = read_runs(folders)
    said.write.write_text(page(runs, {*said.only.split(",")} - {""}), encoding="utf-8")
    for problem in problems:
        print(f"{problem.folder}: {problem.what}", file=sys.stderr)
    print(said.write)


def run(experiment: str, task: str, seed: str, options: Iterable[str], typed: Iterable[str]) -> None:
    """One sweep; what the person typed comes last, and what belongs to networks is left out of the baselines."""
    mine = [
        one for one in typed if experiment == "pretraining_yardstick" or one.startswith(("data.", "split."))
    ]
    words = {word.partition("=")[0]: word for word in (f"data={task}", seed, *options, *mine)}  # one a key
    command = [sys.executable, "-m", "eegfm", "train", f"experiment={experiment}", *words.values()]
    subprocess.run(command, check=True)


def collected(runs: Iterable[Run], model: str) -> dict[tuple[str, str], Scores]:
    """The scores of a network's runs, and of the methods beside it, by (task, labels).

    Raises:
        ValueError: two runs are of one cell, because they differ in a setting that the yardstick holds fixed.
    """
    found: dict[tuple[str, str], Scores] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    kept = [one for one in runs if not one.result.adapt or one.result.model == model]
    for one in [*kept, *with_band_power(kept)]:
        result = one.result
        labels = str(result.benchmark.split.get("train_windows", "all"))
        for person, row in result.by_subject["test"].items():
            seeds = found[result.data, labels][start_of(one)][person]
            if result.seed in seeds:
                raise ValueError(
                    f"{one.folder}: another run is of the same task, labels, start and seed. They differ in a setting: "
                    "move one of them away, and give trials of other settings a folder of their own (folder=...)."
                )
            seeds[result.seed] = row.get(METRIC.get(result.data, "balanced_accuracy"), math.nan)
    return found


def with_band_power(runs: Iterable[Run]) -> list[Run]:
    """Both, by their mean probability, of every probe that has band power with its windows, labels and seed."""

    def cell(run: Run) -> tuple[object, ...]:
        tested = tuple(sorted(run.result.by_subject["test"]))
        return run.result.data, run.result.seed, run.result.benchmark.split.get("train_windows"), tested

    beside = {cell(one): one.predictions for one in runs if start_of(one) == "bandpower"}
    found = []
    for one in runs:
        mine, other = one.predictions, beside.get(cell(one))
        if start_of(one).startswith("probe") and mine and other and mine.keys == other.keys:
            both = replace(mine, probabilities=(mine.probabilities + other.probabilities) / 2)
            rows = scores_of(both, one.folder)[1]
            adapt = f"{one.result.adapt}_with_both"
            found.append(replace(one, result=replace(one.result, by_subject={"test": rows}, adapt=adapt)))
    return found


def start_of(run: Run) -> str:
    """bandpower, tangent, or the use of a network and what it started from."""
    if not run.result.adapt:
        return run.result.model
    use = run.result.adapt.rpartition("_")[2]
    if use == "both":
        return "both, pre-trained" if run.result.started_from else "both, own start"
    return f"{use}, pre-trained" if run.result.started_from else f"{use}, {USES[use]}"


def page(runs: Iterable[Run], only: Iterable[str] = ()) -> str:
    """The page in Markdown: of each network and task its scores, and the differences with their tests."""
    runs = [one for one in runs if one.result.classifies and one.result.data in TASKS]
    lines = ["# The yardstick of pre-training", ""]
    for model in sorted({one.result.model for one in runs if one.result.adapt}):
        found = collected(runs, model)
        for task in TASKS:
            of_task = {labels: found[task, labels] for labels in LABELS if (task, labels) in found}
            mine = [one for one in runs if one.result.data == task and one.result.model == model]
            if of_task and mine:
                lines += [
                    *_of_task(f"{model}, {task}", METRIC.get(task, "balanced_accuracy"), of_task, {*only})
                ]
                lines += ["", _how_much(mine), ""]
    return "\n".join(lines)


def _of_task(title: str, metric: str, by_labels: Mapping[str, Scores], only: set[str]) -> list[str]:
    starts = [f"{use}, {start}" for use, other in USES.items() for start in ("pre-trained", other)]
    starts += ["bandpower", "tangent", "both, pre-trained"]
    rows = [
        f"## {title}: mean over persons of {metric.replace('_', ' ')}",
        "",
        f"| labels | {' | '.join(starts)} |",
        "|---" * 7 + "|",
    ]
    pairs: list[tuple[str, str, str, Pair | None]] = []
    for labels, scores in by_labels.items():
        means = {
            start: {person: sum(seeds.values()) / len(seeds) for person, seeds in of_start.items()}
            for start, of_start in scores.items()
        }
        cells = [f"{sum(m.values()) / len(m):.3f}" if (m := means.get(start)) else "–" for start in starts]
        rows.append(f"| {labels} | {' | '.join(cells)} |")
        for use, other in USES.items():
            for beside in (other, "bandpower", "tangent"):
                second = f"{use}, {beside}" if beside == other else beside
                pairs.append((labels, use, beside, _pair(means, f"{use}, pre-trained", second, only)))
        for beside in ("bandpower", "both, own start"):
            pairs.append((labels, "both", beside, _pair(means, "both, pre-trained", beside, only)))
    rows += [
        "",
        "| labels | use | pre-trained minus | difference [95 %] | better for | p | p (Holm) |",
        "|---" * 7 + "|",
    ]
    own = [
        pair.p
        for _, use, beside, pair in pairs
        if pair and beside == USES.get(use) and not math.isnan(pair.p)
    ]
    corrected = iter(holm(own))
    for labels, use, beside, pair in pairs:
        if pair is None:
            continue
        n = pair.better + pair.worse
        p_holm = next(corrected) if beside == USES.get(use) and not math.isnan(pair.p) else math.nan
        between = "" if math.isnan(pair.low) else f" [{pair.low:+.3f}, {pair.high:+.3f}]"
        told = f"{pair.difference:+.3f}{between} | {pair.better} of {n} that differ | {_p(pair.p)} | {_p(p_holm)}"
        rows.append(f"| {labels} | {use} | {beside} | {told} |")
    return rows


def _pair(means: Mapping[str, Mapping[str, float]], first: str, second: str, only: set[str]) -> Pair | None:
    if first not in means or second not in means:
        return None
    kept = {
        name: {person: score for person, score in means[name].items() if not only or person in only}
        for name in (first, second)
    }
    pairs = compare(kept, reference=first).pairs
    return pairs[0] if pairs else None


def _p(p: float) -> str:
    return "–" if math.isnan(p) else f"{p:.4f}"


def _how_much(runs: Iterable[Run]) -> str:
    """How much of the yardstick of a network and task is there."""
    results = [one.result for one in runs]
    people = {person for one in results for ids in one.benchmark.subjects.values() for person in ids}
    tested = {person for one in results for person in one.by_subject["test"]}
    seeds = ", ".join(map(str, sorted({one.seed for one in results})))
    done = sum(len(one.by_subject["test"]) for one in results)
    whole = len(people) * len(SEEDS) * len(LABELS) * 2 * len(USES)
    said = f"{len(results)} runs; {len(tested)} of {len(people)} persons tested, seeds {seeds}."
    return said if done >= whole else f"PARTIAL, {done} of {whole} tests of a person: {said}"


if __name__ == "__main__":
    main()
