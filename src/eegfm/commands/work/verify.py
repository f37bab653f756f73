"""What `eegfm verify` does: check one benchmark, or show an overview of all."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.config.corpora import one_corpus, preparation_of
from eegfm.config.make import make
from eegfm.config.own import searched, searchpath
from eegfm.config.schema import benchmark_options
from eegfm.contracts import EegfmError
from eegfm.data.manifest import FILE, Manifest
from eegfm.data.preparing.pipeline import is_there
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.data.verifying.checks import Check, Remedies
from eegfm.data.verifying.verify import last_verified, verify
from eegfm.support.words import console

if TYPE_CHECKING:
    from rich.console import Console


STYLE = {"ok": "green", "warning": "yellow", "off": "bold red"}
MARK = {"ok": "ok", "warning": "warn", "off": "OFF"}
NONE = "–"
TEXT = 22  # at most so many characters of a licence or an access, so that the overview fits 80 columns


def verify_benchmarks(config: DictConfig) -> None:
    """Check the benchmark of data=, or show all benchmarks without it. Exits with 1 if a check fails."""
    # no data module is made, since it would load torch and Lightning
    screen = console()
    if "data" not in config:
        show_overview(overview(config), screen)
        return

    wanted = preparation_of(one_corpus(config, "eegfm verify"))
    benchmark = wanted.sized
    words = shlex.join(HydraConfig.get().overrides.task)
    checks = verify(benchmark, wanted.raw, wanted.cache, recipe=wanted.recipe, remedies=Remedies(words))
    show_checks(f"{benchmark.title} ({benchmark.protocol})", checks, screen)
    if any(check.verdict == "off" for check in checks):
        raise SystemExit(1)


def show_checks(title: str, checks: "Sequence[Check]", screen: "Console") -> None:
    """Print the checks of one benchmark as a table, then what to do about each check that is not ok."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, width=min(screen.width, 120))
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold", ratio=3)
    table.add_column("wanted", overflow="fold", ratio=2)  # fold: a path is one long word
    remedies: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        style = STYLE[check.verdict]
        table.add_row(Text(MARK[check.verdict], style=style), check.name, check.found, check.wanted)
        if check.verdict != "ok" and check.remedy:
            remedies[check.remedy].append(check.name.strip())
    screen.print(title, style="bold")
    screen.print(table)
    for remedy, names in remedies.items():
        screen.print(f"{', '.join(names)}: {remedy}", soft_wrap=True)
    n = {verdict: sum(check.verdict == verdict for check in checks) for verdict in STYLE}
    verdict = next(verdict for verdict in ("off", "warning", "ok") if n[verdict] or verdict == "ok")
    screen.print(f"{n['ok']} ok, {_n(n['warning'], 'warning')}, {n['off']} off", style=STYLE[verdict])


# ---- every benchmark -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surveyed:
    """A row of the overview: raw files and store of `data=<name>` on this disk, and the command to type next."""

    name: str
    raw: str
    store: str
    prepared: str
    verified: str
    others: int
    bytes: int
    licence: str
    access: str
    next: str


def overview(config: DictConfig) -> list[Surveyed]:
    """Every `data=<name>`, the simulated ones last."""
    options = []
    for path in benchmark_options():
        node = OmegaConf.merge({"paths": config.paths}, OmegaConf.load(path))
        benchmark = make(node.benchmark, "data.benchmark")
        options.append((benchmark.simulated, path.stem, benchmark, Path(node.raw)))
    cache = Path(config.paths.cache)
    ours = [
        survey(name, benchmark, raw, cache)
        for _, name, benchmark, raw in sorted(options, key=lambda option: option[:2])
    ]
    own = [(folder, path.stem) for folder in searched() for path in benchmark_options(folder)]
    return [*ours, *(_own(folder, name, config) for folder, name in own)]


def _own(folder: Path, name: str, config: DictConfig) -> "Surveyed":
    """The row of a person's own recordings; one that is not right yet says so."""
    try:
        composed = compose("verify", [*searchpath(folder), f"data={name}"])
        node = OmegaConf.merge({"paths": config.paths}, {"data": composed.data}).data
        benchmark = make(node.benchmark, "data.benchmark")
        return survey(name, benchmark, Path(node.raw), Path(config.paths.cache))
    except (
        EegfmError,
        HydraException,
        OmegaConfBaseException,
    ):  # `eegfm verify data=<name>` tells the reason
        return Surveyed(name, "unclear", NONE, NONE, NONE, 0, 0, "", "", "eegfm verify data={}")


def survey(name: str, benchmark: "BenchmarkSpec", raw: Path, cache: Path) -> Surveyed:
    """Look at the files of a benchmark without opening a recording or a window."""
    try:
        sources = benchmark.sources(raw)
        present = [source for source in sources if is_there(source)]
        wanted = max(len(sources), benchmark.census.recordings or 0)
        counted = f"{len(present)}/{wanted}"
    except (EegfmError, OSError):  # `eegfm verify data=<name>` tells the reason
        sources, present, wanted, counted = [], [], 1, "unclear"
    recipe = Recipe.of(benchmark)
    folder = cache / recipe.folder
    prepared, own = SampleStore.is_at(folder), _manifest(folder)
    last = last_verified(folder, benchmark) if own else None
    state = NONE if not prepared else "complete" if own and own.complete else "partial"
    verified = NONE if not prepared else "no" if last is None else "yes" if last.ok else "failed"
    beside = (path.parent for path in (cache / benchmark.name).glob(f"*/{FILE}") if path.parent != folder)
    others = [_manifest(path) for path in beside]
    files = dict.fromkeys(path for source in present for path in source.files)
    stored = (path for path in (cache / benchmark.name).rglob("*") if path.is_file())
    partial = " data.allow_partial=true" if state == "partial" else ""
    if prepared:
        step = f"eegfm train data={{}}{partial}" if verified == "yes" else "eegfm verify data={}"
    elif counted == "unclear" or 0 < len(present) < wanted:
        step = "eegfm verify data={}"
    elif present or benchmark.make is not None:
        step = "eegfm prepare data={}"
    elif benchmark.open_files:
        step = "eegfm prepare data={} data.download=true"
    else:
        step = "apply for the corpus or fetch it by hand (data/README.md), then: eegfm prepare data={}"
    return Surveyed(
        name=name,
        raw=counted,
        store=recipe.fingerprint if prepared else NONE,
        prepared=state,
        verified=verified,
        # stores of an encoder's vectors are not counted: each belongs to a store of windows
        others=sum(one is None or "encoder" not in one.recipe.facts for one in others),
        bytes=sum(path.stat().st_size for path in (*files, *stored)),
        licence=_short(benchmark.licence),
        access="made here"
        if benchmark.make is not None
        else "open"
        if benchmark.open_files
        else benchmark.access.partition(":")[0],
        next=step,
    )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.read(folder)
    except (EegfmError, OSError):  # `eegfm verify data=<name>` tells the reason
        return None


def _short(licence: str) -> str:
    """The short name in a licence's last brackets, if there is one: "ODC-By 1.0"."""
    return licence.rpartition("(")[2].rstrip(")") if licence.endswith("0)") else licence


def show_overview(surveyed: Sequence[Surveyed], screen: "Console") -> None:
    """Print a row for each benchmark, then the command to type next for each."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = screen.width >= 110
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("benchmark", "raw", *(("store",) if wide else ()), "prepared", "verified", "on disk"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("raw", "on disk") else "left")
    for name in (*(("licence",) if wide else ()), "access"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=TEXT)
    colour = {
        "yes": "green",
        "complete": "green",
        "partial": "yellow",
        "no": "yellow",
        "failed": "bold red",
    }

    def coloured(text: str, others: int = 0) -> Text:
        return Text(text, style=colour.get(text, "")).append(
            f" +{others}" if others else "", style="default"
        )

    for row in surveyed:
        table.add_row(
            row.name,
            row.raw,
            *((row.store,) if wide else ()),
            coloured(row.prepared, row.others),
            coloured(row.verified),
            _size(row.bytes),
            *((row.licence,) if wide else ()),
            row.access,
        )
    screen.print(table)
    if any(row.others for row in surveyed):
        screen.print("+1: one more store, of another variant or with other steps")
    steps: dict[str, list[str]] = defaultdict(list)
    for row in surveyed:
        steps[row.next].append(row.name)
    screen.print("next", style="bold")
    for step, names in steps.items():
        shown = step.format(names[0] if len(names) == 1 else "<name>")
        screen.print(f"  {shown}" + (f"   {' '.join(names)}" if len(names) > 1 else ""), soft_wrap=True)


def _size(n_bytes: int) -> str:
    if not n_bytes:
        return NONE
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"


def _n(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
