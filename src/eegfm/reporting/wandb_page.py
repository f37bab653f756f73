"""The W&B workspace and report of an experiment, laid out over the runs that `logger=wandb` sent.

Panels read what the runs have sent: scores by seed, learning curves, figures, test subjects. What W&B cannot know
(means over seeds with their intervals over test subjects, the papers' numbers) is written into it as tables, from the
run folders. Everything but `save` is made without a network; that wants somebody logged in, and replaces the page that
it made the last time.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm.contracts import EegfmError
from eegfm.drawing.sheet import Sheet, markdown
from eegfm.process import environment
from eegfm.reporting import against
from eegfm.reporting.groups import Group, group_runs
from eegfm.reporting.remarks import marks, remarks
from eegfm.reporting.run_folders import Run, find_runs, read_runs
from eegfm.reporting.scores import LEGEND, NONE, interval, score
from eegfm.runs.reservations import reservations_of
from eegfm.runs.wandb import CONFUSION, PREDICTIONS, SUBJECTS
from eegfm.tasks.metric_names import METRICS, NO_SCORE, short

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report
    from wandb_workspaces.workspaces import Workspace

KEPT = "wandb_dashboard.json"  # beside the runs: where their page is at W&B
SHOWN = 5  # metrics, in the order of the published tables
OF_EXPLAIN = re.compile(
    r"(.+)_(train|val|test)"
)  # figures of evaluate explain=true, as they lie in a run folder


@dataclass(frozen=True)
class Page:
    """What a page is of: groups of runs of one W&B project; an `entity` of None is whoever is logged in."""

    name: str
    entity: str | None
    project: str
    groups: Sequence[Group]

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    @property
    def metrics(self) -> list[str]:
        found = {name for run in self.runs for name in run.result.metrics["test"]} - {*NO_SCORE}
        return [name for name in METRICS if name in found][:SHOWN]

    @property
    def experiments(self) -> list[str]:
        """W&B's groups of these runs."""
        return sorted({run.folder.resolve().parent.name for run in self.runs})


def page_of(folder: Path) -> Page:
    """The page of the runs at or below a folder, those that were logged to W&B.

    Raises:
        ValueError: no such folder, no run in it, none that was logged to W&B, or runs of several W&B projects.
    """
    runs, _ = read_runs(find_runs([folder]))
    logged = [run for run in runs if "project" in (run.config.get("logger") or {})]
    if not logged:
        raise EegfmError(
            f"No finished run at or below {folder} was logged to W&B: train with logger=wandb. "
            "Without W&B the page is eegfm dashboard <folder>"
        )
    places = {(run.config["logger"].get("entity"), run.config["logger"]["project"]) for run in logged}
    if len(places) > 1:
        said = ", ".join(sorted(f"{entity or 'yours'}/{project}" for entity, project in places))
        raise EegfmError(
            f"The runs below {folder} are of several W&B projects ({said}). Name a folder of one."
        )
    ((entity, project),) = places
    return Page(folder.resolve().name, entity, project, group_runs(logged)[0])


def workspace(page: Page, entity: str) -> "Workspace":
    """The workspace: sections of panels over the experiment's runs, best first in a table that can be sorted."""
    from wandb_workspaces import expr, workspaces

    columns = [f"config:option.value.{name}" for name in ("model", "encoder", "data")] + [
        "config:seed.value"
    ]
    columns += [f"summary:test/{metric}{end}" for metric in page.metrics for end in ("", "_low", "_high")]
    columns += ["summary:parameters/trainable", "summary:wall_s", "summary:marks"]
    sections = [
        workspaces.Section(name=title, panels=panels, is_open=True)
        for title, panels in _panels(page).items()
    ]
    return workspaces.Workspace(
        entity=entity,
        project=page.project,
        name=f"eegfm {page.name}",
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="trainer/global_step", max_runs=100),
        runset_settings=workspaces.RunsetSettings(
            filters=expr.And(expr.Metric("Group").isin(page.experiments)),
            order=[
                expr.Ordering(expr.Summary(f"test/{metric}"), ascending=METRICS[metric].better == "min")
                for metric in page.metrics[:1]
            ],
            pinned_columns=columns,
        ),
    )


def report(page: Page, entity: str) -> "Report":
    """The report: the same panels, with the tables as text between them."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports.v2 import interface as v2

    def runs() -> Any:
        return v2.Runset(
            entity=entity,
            project=page.project,
            name=page.name,
            filters=expr.And(expr.Metric("Group").isin(page.experiments)),
        )

    blocks: list[Any] = [v2.TableOfContents()]
    for title, panels in _panels(page).items():
        blocks.append(v2.H2(text=title))
        texts = [panel for panel in panels if isinstance(panel, v2.MarkdownPanel)]
        blocks += [v2.MarkdownBlock(text=panel.markdown) for panel in texts]
        drawn = [panel for panel in panels if panel not in texts]
        if drawn or title == CELLS:  # a grid without panels is its table of runs
            blocks.append(v2.PanelGrid(runsets=[runs()], panels=drawn))
    return v2.Report(
        entity=entity,
        project=page.project,
        title=f"eegfm {page.name}"[:128],
        description=f"{len(page.runs)} runs. {LEGEND}",
        blocks=blocks,
        width="fluid",
    )


CELLS = "Cells"


def _panels(page: Page) -> dict[str, list[Any]]:
    """Panels by the title of their section; a section that nothing is known for is left out."""
    from wandb_workspaces.reports.v2 import interface as v2

    wide, half = v2.Layout(w=24, h=10), v2.Layout(w=12, h=8)
    beside = against.rows(page.groups)
    spatial, attention, others = _figures(page.runs)
    of_classes = any((run.folder / PREDICTIONS).exists() for run in page.runs)
    monitors = sorted({f"val/{run.result.monitor}" for run in page.runs})
    found = {
        "Scores": [
            v2.MarkdownPanel(markdown=_text(means(page)), layout=wide),
            *(
                v2.BarPlot(
                    title=f"{short(metric)}, mean and deviation over seeds",
                    metrics=[v2.SummaryMetric(f"test/{metric}")],
                    groupby=v2.Config("option.model"),
                    groupby_aggfunc="mean",
                    groupby_rangefunc="stddev",
                    layout=half,
                )
                for metric in page.metrics
            ),
        ],
        "By seed": [
            v2.ScatterPlot(
                title=f"{short(metric)} by seed",
                x=v2.Config("seed"),
                y=v2.SummaryMetric(f"test/{metric}"),
                layout=half,
            )
            for metric in page.metrics
        ],
        "Against the papers": [v2.MarkdownPanel(markdown=_text(against.sheet(beside)), layout=wide)]
        * bool(beside),
        "Learning curves": [
            v2.LinePlot(
                title=title,
                x="trainer/global_step",
                y=[v2.Metric(name) for name in names],
                max_runs_to_show=100,
                layout=half,
            )
            for title, names in (
                ("training loss", ["train/loss_epoch"]),
                ("validation loss", ["val/loss"]),
                *((name.replace("val/", "validation "), [name]) for name in monitors),
            )
        ],
        "Where the models look": [
            v2.MediaBrowser(title=title, media_keys=keys, num_columns=2, layout=wide)
            for title, keys in (("spatial maps", spatial), ("attention", attention))
            if keys
        ],
        "Figures": [
            v2.MediaBrowser(title=key, media_keys=[key], num_columns=2, layout=half) for key in others
        ],
        "Test subjects": [v2.WeavePanelSummaryTable(table_name=SUBJECTS, layout=wide)]
        + [v2.WeavePanelSummaryTable(table_name=f"{CONFUSION}_table", layout=wide)] * of_classes,
        CELLS: [
            v2.MarkdownPanel(markdown=_text(cells(page)), layout=wide),
            v2.RunComparer(diff_only="split", layout=wide),
        ],
    }
    return {title: panels for title, panels in found.items() if panels}


def _text(sheet: Sheet) -> str:
    return "\n".join(markdown(sheet)).strip()


def means(page: Page) -> Sheet:
    """A row a group: every metric as mean ± deviation over seeds, with its interval over test subjects."""
    rows = [
        [
            group.first.data,
            group.label,
            str(len(group.runs)),
            *(f"{score(group, metric)} {interval(group, metric)}".strip() for metric in page.metrics),
        ]
        for group in page.groups
    ]
    notes = [LEGEND]
    for group in page.groups:
        said = [*marks(group), *remarks(group)]
        notes += [f"{group.first.data}, {group.label}: {'; '.join(said)}"] * bool(said)
    header = ["data set", "model", "seeds", *(short(metric) for metric in page.metrics)]
    return Sheet("Test scores", header, rows, notes, text=(0, 1))


def cells(page: Page) -> Sheet:
    """A row a run: its test scores, and what it took."""
    rows = []
    for run in page.runs:
        r = run.result
        scores = [r.metrics["test"].get(metric) for metric in page.metrics]
        rows.append(
            [
                r.data,
                r.model,
                r.encoder,
                str(r.seed),
                *(NONE if value is None or value != value else f"{value:.4f}" for value in scores),
                NONE if r.best_epoch is None else str(r.best_epoch + 1),
                f"{r.parameters['trainable']:,}",
                f"{r.wall_s:,.0f}",
                ", ".join(one.mark for one in reservations_of(run.result)) or NONE,
                run.folder.name,
            ]
        )
    header = ["data set", "model", "encoder", "seed", *(short(metric) for metric in page.metrics)]
    header += ["chosen epoch", "parameters", "seconds", "marks", "folder"]
    return Sheet("Every run", header, rows, text=(0, 1, 2, len(header) - 2, len(header) - 1))


def _figures(runs: Sequence[Run]) -> tuple[list[str], list[str], list[str]]:
    """What the runs' figures are called at W&B: maps of places, maps of attention, and the others."""
    spatial, attention, others = set[str](), set[str](), set[str]()
    for path in (path for run in runs for path in run.folder.glob("figures/*.png")):
        explained = OF_EXPLAIN.fullmatch(path.stem)
        key = f"explain_{explained[2]}/{explained[1]}" if explained else path.stem
        if path.stem.startswith("spatial"):
            spatial.add(key)
        elif explained and path.stem.startswith("attention"):
            attention.add(key)
        elif not path.stem.startswith("embedding"):  # which stay in the folder
            others.add(key)
    return sorted(spatial), sorted(attention), sorted(others)


@environment(WANDB_MODE="online")  # offline on this cluster, perhaps; but to save it is what is asked for
def save(folder: Path) -> dict[str, str]:
    """Save workspace and report of a folder of runs at W&B; returns where they are. Made again, they are replaced.

    Raises:
        ValueError: as `page_of`, or the package is missing, nobody is logged in, or W&B does not take them.
    """
    page = page_of(folder)
    try:
        import wandb
        from wandb_workspaces.reports.v2 import interface as v2
        from wandb_workspaces.workspaces import Workspace
    except ImportError as error:
        raise EegfmError(f"{error}. Type: pip install 'eegfm[dashboard]'") from None
    kept = folder / KEPT
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    try:
        if not wandb.login(prompt=False):
            raise EegfmError("Nobody is logged in to W&B. Type: wandb login")
        entity = page.entity or wandb.Api().default_entity or ""
        drawn, told = workspace(page, entity), report(page, entity)
        old = _there(Workspace, before.get("workspace"))
        if old:
            old.name, old.sections = drawn.name, drawn.sections
            old.settings, old.runset_settings = drawn.settings, drawn.runset_settings
        older = _there(v2.Report, before.get("report"))
        if older:
            older.title, older.description, older.blocks = told.title, told.description, told.blocks
        # the report first: it is refused where W&B has no such project yet
        urls = {"report": (older or told).save().url, "workspace": (old or drawn).save().url}
    except EegfmError:
        raise
    except (wandb.Error, ValueError, OSError) as error:
        raise EegfmError(
            f"W&B did not take the page: {error} Where its runs were not sent yet: eegfm sync {folder}"
        ) from error
    kept.write_text(json.dumps(urls, indent=1) + "\n", encoding="utf-8")
    return urls


def _there(kind: Any, url: str | None) -> Any:
    """What was saved the last time; None where it is not there any more."""
    try:
        return kind.from_url(url) if url else None
    except Exception:  # deleted, of another account, of another server: a new one is made
        return None
