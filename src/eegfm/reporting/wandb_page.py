"""The W&B workspace and report of an experiment, over the runs that `logger=wandb` sent.

Panels show what the runs sent: scores by seed, learning curves, figures, test subjects. W&B does not know means over
seeds, their intervals over test subjects, and the papers' numbers: tables from the run folders add these. Only `save`
needs a network and a login; it replaces the page that it saved before.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm.contracts import EegfmError
from eegfm.drawing.sheet import Sheet, markdown
from eegfm.reporting import against
from eegfm.reporting.groups import Group, group_runs
from eegfm.reporting.remarks import marks, remarks
from eegfm.reporting.run_folders import Run, find_runs, read_runs
from eegfm.reporting.scores import LEGEND, NONE, interval, score
from eegfm.runs.evaluations import FOLDER as EVALUATIONS
from eegfm.runs.reservations import reservations_of
from eegfm.runs.wandb import CONFUSION, PREDICTIONS, SUBJECTS
from eegfm.runs.wandb_place import WandbPlace, own_place
from eegfm.support.files import write_json
from eegfm.support.process import environment
from eegfm.tasks.metric_names import METRICS, NO_SCORE, in_order, short

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report
    from wandb_workspaces.workspaces import Workspace

ADDRESSES = "wandb_dashboard.json"  # beside the runs: the addresses of their page at W&B
SHOWN = 5  # metrics, the first ones in the order of the published tables
# the figures of evaluate explain=true in a run folder
OF_EXPLAIN = re.compile(r"(.+)_(train|val|test)")


@dataclass(frozen=True)
class Page:
    """The contents of a page: groups of runs of one W&B project. `entity` None is the account that is logged in."""

    name: str
    entity: str | None
    project: str
    groups: Sequence[Group]

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    @property
    def metrics(self) -> list[str]:
        tested = {name for run in self.runs for name in run.result.metrics["test"]} - {*NO_SCORE}
        return [name for name in in_order(tested) if name in METRICS][:SHOWN]

    @property
    def experiments(self) -> list[str]:
        """The experiments of these runs, which are groups at W&B."""
        return sorted({run.folder.resolve().parent.name for run in self.runs})


def page_of(folder: Path, project: str | None = None) -> Page:
    """The page of those runs at or below a folder that were logged to W&B, at the place that they name.

    With `project`, they may name several: they were sent to this one.

    Raises:
        ValueError: the folder does not exist or holds no run, no run was logged to W&B, or the runs are of several
            W&B projects.
    """
    runs, _ = read_runs(find_runs([folder]))
    logged = [run for run in runs if "project" in (run.config.get("logger") or {})]
    if not logged:
        raise EegfmError(
            f"No finished run at or below {folder} was logged to W&B. Train with logger=wandb. "
            f"For a page without W&B, type: eegfm dashboard {folder}"
        )
    places = {(run.config["logger"].get("entity"), run.config["logger"]["project"]) for run in logged}
    if len(places) > 1 and project is None:
        said = ", ".join(sorted(f"{entity or 'yours'}/{project}" for entity, project in places))
        raise EegfmError(
            f"The runs below {folder} are of several W&B projects ({said}). Name a folder with runs of one."
        )
    entity, named = sorted(places, key=str)[0]
    return Page(folder.resolve().name, entity, project or named, group_runs(logged)[0])


def workspace(page: Page, entity: str) -> "Workspace":
    """The workspace: sections of panels over the experiment's runs, and a table of them with the best run first."""
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
    """The report: the panels of the workspace, with the tables as text between them."""
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
        if drawn or title == CELLS:  # a grid without panels shows its table of runs
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
    """Panels by the title of their section, without empty sections."""
    from wandb_workspaces.reports.v2 import interface as v2

    wide, half = v2.Layout(w=24, h=10), v2.Layout(w=12, h=8)
    published_rows = against.rows(page.groups)
    spatial, attention, others = _figures(page.runs)
    of_classes = any((run.folder / PREDICTIONS).exists() for run in page.runs)
    monitors = sorted({f"val/{run.result.monitor}" for run in page.runs})
    sections = {
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
        "Against the papers": [v2.MarkdownPanel(markdown=_text(against.sheet(published_rows)), layout=wide)]
        * bool(published_rows),
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
    return {title: panels for title, panels in sections.items() if panels}


def _text(sheet: Sheet) -> str:
    """A table in Markdown."""
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
        sentences = [*marks(group), *remarks(group)]
        notes += [f"{group.first.data}, {group.label}: {'; '.join(sentences)}"] * bool(sentences)
    header = ["data set", "model", "seeds", *(short(metric) for metric in page.metrics)]
    return Sheet("Test scores", header, rows, notes, text=(0, 1))


def cells(page: Page) -> Sheet:
    """A row a run: its test scores, its chosen epoch, size, time and marks."""
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
                ", ".join(reservation.mark for reservation in reservations_of(run.result)) or NONE,
                run.folder.name,
            ]
        )
    header = ["data set", "model", "encoder", "seed", *(short(metric) for metric in page.metrics)]
    header += ["chosen epoch", "parameters", "seconds", "marks", "folder"]
    return Sheet("Every run", header, rows, text=(0, 1, 2, len(header) - 2, len(header) - 1))


def _figures(runs: Sequence[Run]) -> tuple[list[str], list[str], list[str]]:
    """The keys of the runs' figures at W&B: maps of spatial weights, maps of attention, and the others."""
    spatial, attention, others = set[str](), set[str](), set[str]()
    places = ("figures/*.png", f"{EVALUATIONS}/*/figures/*.png")
    for path in (path for run in runs for place in places for path in run.folder.glob(place)):
        explained = OF_EXPLAIN.fullmatch(path.stem)
        key = f"explain_{explained[2]}/{explained[1]}" if explained else path.stem
        if path.stem.startswith("spatial"):
            spatial.add(key)
        elif explained and path.stem.startswith("attention"):
            attention.add(key)
        elif not path.stem.startswith("embedding"):  # embedding maps stay in the folder
            others.add(key)
    return sorted(spatial), sorted(attention), sorted(others)


@environment(WANDB_MODE="online")  # a cluster may set "offline", but this function must reach W&B
def save(folder: Path, entity: str | None = None, project: str | None = None) -> dict[str, str]:
    """Save the workspace and the report of a folder of runs at W&B; returns their addresses.

    They go to the entity and the project that are given, or else to the person's own. A second call replaces the page
    of the first.

    Raises:
        ValueError: as in `page_of`; the runs name another place; or the package is missing, nobody is logged in, or W&B
            refuses the page.
    """
    page = page_of(folder, project)
    try:
        import wandb
        from wandb_workspaces.reports.v2 import interface as v2
        from wandb_workspaces.workspaces import Workspace
    except ImportError as error:
        raise EegfmError(f"{error}. Type: pip install 'eegfm[dashboard]'") from None
    file = folder / ADDRESSES
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    try:
        if not wandb.login(prompt=False):
            raise EegfmError("Nobody is logged in to W&B. Type: wandb login")
        to, named = own_place(entity, project), WandbPlace(page.entity or "", page.project)
        if not (entity or project or to.takes(named)):
            raise EegfmError(
                f"The runs below {folder} name {named} at W&B, and yours is {to}. Type where their page shall be: "
                f"{named.typed}  or  {to.typed}"
            )
        page = replace(page, entity=to.entity, project=to.project)
        new_workspace, new_report = workspace(page, to.entity), report(page, to.entity)
        old_workspace = _saved_before(Workspace, before.get("workspace"), to)
        if old_workspace:
            old_workspace.name, old_workspace.sections = new_workspace.name, new_workspace.sections
            old_workspace.settings = new_workspace.settings
            old_workspace.runset_settings = new_workspace.runset_settings
        old_report = _saved_before(v2.Report, before.get("report"), to)
        if old_report:
            old_report.title, old_report.description = new_report.title, new_report.description
            old_report.blocks = new_report.blocks
        # the report first, because W&B refuses it if the project does not exist yet
        urls = {
            "report": (old_report or new_report).save().url,
            "workspace": (old_workspace or new_workspace).save().url,
        }
    except EegfmError:
        raise
    except (wandb.Error, ValueError, OSError) as error:
        raise EegfmError(
            f"W&B refused the page: {error} If its runs were not sent yet, type: eegfm sync {folder}"
        ) from error
    write_json(file, urls)
    return urls


def _saved_before(kind: Any, url: str | None, to: WandbPlace) -> Any:
    """The workspace or the report that an earlier call saved at a place; None if there is none."""
    try:
        found = kind.from_url(url) if url else None
    except Exception:  # deleted, or of another account or server: `save` makes a new one
        return None
    # the address stands in the folder, and may be of somebody else's page
    return found if found is not None and (found.entity, found.project) == (to.entity, to.project) else None
