"""What a search has found, as files, figures and a table."""

import csv
import io
import json
import logging
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eegfm.files import cell, uncelled, write_text
from eegfm.search.plan import Plan, as_overrides
from eegfm.search.space import FIVE_SEEDS

if TYPE_CHECKING:
    from optuna.study import Study

log = logging.getLogger(__name__)

DRAWN = 15  # trials, below which figures would say nothing


SHOWN = 10  # trials in the table that is printed


def report(plan: Plan, study: "Study") -> dict[str, Any]:
    """Write `search.json`, `search.csv` and the figures, and give back what the first of them holds."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    complete = [one for one in trials if one.state == TrialState.COMPLETE]
    best = study.best_trial if complete else None
    monitor = study.user_attrs.get("monitor", "metric")
    tried = {
        "complete": len(complete),
        "pruned": sum(one.state == TrialState.PRUNED for one in trials),
        "failed": sum(
            one.state == TrialState.FAIL and not one.user_attrs.get("interrupted") for one in trials
        ),
        "interrupted": sum(bool(one.user_attrs.get("interrupted")) for one in trials),
        "running": sum(one.state == TrialState.RUNNING for one in trials),
        "waiting": sum(one.state == TrialState.WAITING for one in trials),
    }
    found: dict[str, Any] = {
        "study": plan.name,
        "storage": plan.storage,
        "selected_by": f"validation {monitor}",
        "direction": study.direction.name.lower(),
        "fixed": plan.fixed,
        "space": plan.said,
        "n_trials": plan.base.search.n_trials,
        "tried": tried,
        "best": None
        if best is None
        else {
            "trial": best.number,
            "value": best.value,
            "params": best.user_attrs["params"],
            "folder": best.user_attrs["folder"],
            "with_five_seeds": command_of(plan, best.user_attrs["params"]),
        },
    }
    write_text(plan.folder / "search.json", json.dumps(found, indent=1) + "\n")
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        ["trial", "state", f"val/{monitor}", "epochs", *map(cell, plan.space), "folder", "reason"]
    )
    for one in trials:
        params = one.user_attrs.get("params", {})
        row = [
            one.number,
            "interrupted" if one.user_attrs.get("interrupted") else one.state.name.lower(),
            "" if one.value is None else repr(one.value),
            "" if one.last_step is None else one.last_step + 1,
            *(params.get(key, "") for key in plan.space),
            one.user_attrs.get("folder", ""),
            one.user_attrs.get("reason", ""),
        ]
        table.writerow(map(cell, row))
    write_text(plan.folder / "search.csv", text.getvalue())
    _draw(plan, study)
    return found


def command_of(plan: Plan, params: Mapping[str, str]) -> str:
    """The command that trains settings with five seeds, by themselves."""
    left_out = ("search.", "search/", "hydra.sweeper", "hydra/sweeper")
    kept = {key: value for key, value in plan.fixed.items() if not key.lstrip("+~").startswith(left_out)}
    kept.pop("seed", None)
    if kept.pop("search", None) is None:  # an experiment's file asks for it
        kept["search"] = "null"
    return shlex.join(["eegfm", "train", "-m", *as_overrides({**kept, **params}), FIVE_SEEDS])


def _draw(plan: Plan, study: "Study") -> None:
    """Which settings mattered, and which went with which value, where there are enough to say."""
    if sum(one.value is not None for one in study.trials) < DRAWN:
        return
    import matplotlib
    from matplotlib import pyplot
    from optuna.visualization.matplotlib import plot_parallel_coordinate, plot_param_importances

    backend = matplotlib.get_backend(auto_select=False)
    pyplot.switch_backend("Agg")  # Optuna's functions would open a window
    for name, draw in (("importance", plot_param_importances), ("parallel", plot_parallel_coordinate)):
        try:
            axes = draw(study)
        except (
            ValueError,
            RuntimeError,
            ZeroDivisionError,
        ) as error:  # of a trial or two, or all of one value
            log.debug("No figure of %s: %s", name, error)
            continue
        axes.figure.savefig(plan.folder / f"{name}.png", dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
        pyplot.close("all")
    if backend:
        pyplot.switch_backend(backend)


def show(found: Mapping[str, Any], plan: Plan) -> None:
    """The best trials as a table, and what to make of them."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    with open(plan.folder / "search.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    rows = [row for row in rows if row[1] == "complete"]
    rows.sort(key=lambda row: float(row[2]), reverse=plan.maximize)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in head[:-2]:
        if name != "state":
            table.add_column(escape(name), overflow="fold")
    for row in rows[:SHOWN]:
        numbers = [f"{float(row[2]):.4f}", *row[3:-2]]
        table.add_row(row[0], *(escape(_short(uncelled(text))) for text in numbers))
    console = Console(highlight=False)
    console.print(table)
    tried, best = found["tried"], found["best"]
    print(
        ", ".join(f"{n} {state}" for state, n in tried.items() if n) + f". All in {plan.folder}/search.csv"
    )
    if best is None:
        return
    settings = sum(tried[state] for state in ("complete", "pruned", "failed", "running", "waiting"))
    print(
        f"Best of {settings} settings by {found['selected_by']}: {best['value']:.4f}, in {best['folder']}\n"
        "It was chosen for this very number, which is optimistic therefore; test subjects played no part.\n"
        f"next        {best['with_five_seeds']}"
    )


def _short(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text
