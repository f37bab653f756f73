"""Report the results of a search: files, figures and a table on the screen."""

import csv
import io
import json
import logging
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eegfm.search.plan import Plan, as_overrides
from eegfm.search.space import FIVE_SEEDS
from eegfm.support.files import cell, uncelled, write_text
from eegfm.support.words import console

if TYPE_CHECKING:
    from optuna.study import Study

log = logging.getLogger(__name__)

DRAWN = 15  # fewer trials than these make no useful figure


SHOWN = 10  # trials in the printed table


def report(plan: Plan, study: "Study") -> dict[str, Any]:
    """Write `search.json`, `search.csv` and the figures; return the content of `search.json`."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = study.best_trial if complete else None
    monitor = study.user_attrs.get("monitor", "metric")
    tried = {
        "complete": len(complete),
        "pruned": sum(trial.state == TrialState.PRUNED for trial in trials),
        "failed": sum(
            trial.state == TrialState.FAIL and not trial.user_attrs.get("interrupted") for trial in trials
        ),
        "interrupted": sum(bool(trial.user_attrs.get("interrupted")) for trial in trials),
        "running": sum(trial.state == TrialState.RUNNING for trial in trials),
        "waiting": sum(trial.state == TrialState.WAITING for trial in trials),
    }
    results: dict[str, Any] = {
        "study": plan.name,
        "storage": plan.storage,
        "selected_by": f"validation {monitor}",
        "direction": study.direction.name.lower(),
        "fixed": plan.fixed,
        "space": plan.typed,
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
    write_text(plan.folder / "search.json", json.dumps(results, indent=1) + "\n")
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
    return results


def command_of(plan: Plan, params: Mapping[str, str]) -> str:
    """The command that trains these settings with five seeds, outside the search."""
    left_out = ("search.", "search/", "hydra.sweeper", "hydra/sweeper")
    kept = {key: value for key, value in plan.fixed.items() if not key.lstrip("+~").startswith(left_out)}
    kept.pop("seed", None)
    if kept.pop("search", None) is None:  # the experiment's file chose the search
        kept["search"] = "null"
    return shlex.join(["eegfm", "train", "-m", *as_overrides({**kept, **params}), FIVE_SEEDS])


def _draw(plan: Plan, study: "Study") -> None:
    """Draw which settings mattered, and which settings reached which value, if there are enough trials."""
    if sum(trial.value is not None for trial in study.trials) < DRAWN:
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
        ) as error:  # too few trials, or all with one value
            log.debug("No figure of %s: %s", name, error)
            continue
        axes.figure.savefig(plan.folder / f"{name}.png", dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
        pyplot.close("all")
    if backend:
        pyplot.switch_backend(backend)


def show(results: Mapping[str, Any], plan: Plan) -> None:
    """Print the best trials as a table, then the command that trains the best settings with five seeds."""
    from rich import box
    from rich.table import Table

    with open(plan.folder / "search.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    rows = [row for row in rows if row[1] == "complete"]
    rows.sort(key=lambda row: float(row[2]), reverse=plan.maximize)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in head[:-2]:
        if name != "state":
            table.add_column(name, overflow="fold")
    for row in rows[:SHOWN]:
        numbers = [f"{float(row[2]):.4f}", *row[3:-2]]
        table.add_row(row[0], *(_short(uncelled(text)) for text in numbers))
    console().print(table)
    tried, best = results["tried"], results["best"]
    print(
        ", ".join(f"{n} {state}" for state, n in tried.items() if n)
        + f". All trials: {plan.folder}/search.csv"
    )
    if best is None:
        return
    settings = sum(tried[state] for state in ("complete", "pruned", "failed", "running", "waiting"))
    print(
        f"Best of {settings} settings by {results['selected_by']}: {best['value']:.4f}, in {best['folder']}\n"
        "This value is optimistic, because it was the reason for the choice. Test subjects played no part.\n"
        f"next        {best['with_five_seeds']}"
    )


def _short(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text
