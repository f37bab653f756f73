"""The commands that use a file, and every number that comes out of them."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command_line import call_forked, environment
from tests.damage.world import BANDPOWER, SAMBA, SEARCH, STAMP

A, B = "runs/demo/stamp-*-s1-*", "runs/single/bandpower-*-s1-*"
KILLED, KILLED_SAMBA, SEARCHED = "killed/demo/stamp-*", "killed_samba/single/samba-*", "searched/single"
TREE = Path(__file__).parents[2]
# what differs from one process to the next
VOLATILE = (
    "wall_s", "finished_at", "peak_memory_mb", "cpu_s", "times_real_time", "command", "git", "packages", "made",
    "started_at", "updated_at", "energy_wh", "machine", "fitted.skops", "commits", "wall", "memory", "gpu_memory",
    "progress", "sha256",
    "trial", "config.yaml",  # a search that was killed counts the trial that was interrupted; its settings are compared
)  # fmt: skip
TIMES = re.compile(
    r"\d\d:\d\d:\d\d(,\d\d\d)?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(,\d\d\d|\+00:00| UTC)?|\d\d-\d\d \d\d:\d\d"
    r"|[\d.,]+ (s|MB|kB|ms|times real time|GB)\b|[\d,]+(\.\d+)?/s\b|, [\d,]+ a second|[0-9.]+ ?steps a second"
    r"|0:\d\d:\d\d|--:--:--|process \d+|0x[0-9a-f]+|[\d.]+[kM]B|━+"
)
WORK = re.compile(r"left:|series through")  # how much work was left, which may be more after a damage

UNFINISHED = ".unfinished"  # of a store that is being written
NOTHING = ("", "''", "[]", "None", "{}")


@dataclass(frozen=True)
class Said:
    """What a command said: its exit status, its lines without times, and its numbers by name, as they are in files.

    `before` are the numbers that were in these files before it ran.
    """

    status: int
    lines: tuple[str, ...]
    numbers: dict[str, str]
    before: dict[str, str]
    text: str


@dataclass(frozen=True)
class Use:
    """A command; `reads` are patterns of the paths that it may read, `writes` of those in which its numbers are."""

    name: str
    command: tuple[str, ...]
    reads: str
    writes: tuple[str, ...] = ()

    def of(self, path: Path) -> bool:
        return re.search(self.reads, path.as_posix()) is not None

    def run(self, place: Path) -> Said:
        """Run it in a folder; a `*` in its words stands for the one path that it fits."""
        before = self.numbers(place)
        ended = call_forked(*self.words(place), cwd=place, env=surroundings())
        text, numbers = ended.stdout + ended.stderr, self.numbers(place)
        for path in place.glob("page.html"):
            text += "".join(
                f"{cell['name']}: {cell['state']}, {cell['why']}\n" for cell in _facts(path)["cells"]
            )
        said = (TIMES.sub("", line).strip() for line in text.splitlines() if not WORK.search(line))
        lines = tuple(filter(None, said))
        return Said(ended.returncode, lines, numbers, before, text)

    def words(self, place: Path) -> list[str]:
        return [_there(place, word) for word in self.command]

    def numbers(self, place: Path) -> dict[str, str]:
        """What stands in the files that it writes."""
        found: dict[str, str] = {}
        for path in sorted({path for pattern in self.writes for path in place.glob(pattern)}):
            if path.parent.suffix == UNFINISHED:  # nothing reads it
                continue
            name = path.relative_to(place).as_posix()
            try:
                held = READERS.get(path.suffix, _bytes)(path)
            except ValueError:  # damaged
                held = _bytes(path)
            found |= {f"{name}: {key}": value for key, value in held.items() if value not in NOTHING}
        return found


def surroundings() -> dict[str, str]:
    """The environment of a command: ours, and a temporary folder on another file system than the place's."""
    elsewhere = {"TMPDIR": "/dev/shm"} if os.path.isdir("/dev/shm") else {}
    return environment(PYTHONPATH=f"{TREE / 'src'}{os.pathsep}{TREE}", COLUMNS="500", **elsewhere)


def _there(place: Path, word: str) -> str:
    key, eq, value = word.rpartition("=")
    if "*" not in value:
        return word
    (found,) = place.glob(value)
    return f"{key}{eq}{found.relative_to(place)}"


def _bytes(path: Path) -> dict[str, str]:
    return {"bytes": hashlib.sha256(path.read_bytes()).hexdigest()}


def _rows(path: Path) -> dict[str, str]:
    """What a table says of each run, but for what it says of others with it; the bytes of any other file."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and "folder" in rows[0]:
        return {
            f"{row['folder']}/{name}": value
            for row in rows
            if row[
                "folder"
            ]  # else a trial of a search that was killed before it had one, and was asked for again
            for name, value in row.items()
            if name not in VOLATILE and not name.startswith("group_") and name not in ("status", "problem")
        }
    return _bytes(path)


def _json(path: Path) -> dict[str, str]:
    return {key: repr(value) for key, value in _flat(json.loads(path.read_text())).items()}


def _page(path: Path) -> dict[str, str]:
    """What a dashboard's page says of each run."""
    cells = {cell.pop("name"): cell for cell in _facts(path)["cells"]}
    for cell in cells.values():
        cell["figures"] = {figure["name"]: figure["src"] for figure in cell["figures"]}
        for name in ("why", "state", "group", "marks"):  # words, which follow from the others
            del cell[name]
    return {key: repr(value) for key, value in _flat(cells).items()}


def _facts(page: Path) -> dict[str, Any]:
    """What a dashboard holds; any other page is a ValueError."""
    held = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page.read_text(), re.S)
    if held is None:
        raise ValueError(f"{page} is no dashboard")
    return json.loads(held[1])


READERS: dict[str, Callable[[Path], dict[str, str]]] = {".csv": _rows, ".json": _json, ".html": _page}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        parts = [_flat(one, f"{name}.{key}") for key, one in value.items() if key not in VOLATILE]
        return {key: one for part in parts for key, one in part.items()}
    return {name: value}


RUN = ("result.json", "loss.csv", "metrics.csv", "predictions_*.csv")
STORES = r"|^data/cache/.*/(samples\.mdb|index\.npz|recipe\.json|verified\.json|raw_files\.json)$"
PLACE = {A: "^runs/demo/stamp-[^/]*-s1-[^/]*/", B: "^runs/single/bandpower-"}


def _of(folder: str, *more: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in (*RUN, *more))


USES = (
    Use("train goes on", ("eegfm.train", *STAMP, "seed=3", "paths.runs=killed"), "^killed/" + STORES, _of(KILLED)),
    Use("samba goes on", ("eegfm.train", *SAMBA, "seed=3", "paths.runs=killed_samba"), "^killed_samba/",
        _of(KILLED_SAMBA, "spatial.npz")),
    Use("train, finished", ("eegfm.train", *STAMP, "seed=1"), PLACE[A]),
    Use("train anew", ("eegfm.train", *BANDPOWER, "seed=7"), STORES[1:], _of("runs/single/bandpower-*-s7-*")),
    Use("evaluate", ("eegfm.evaluate", f"run={A}"), PLACE[A] + STORES,
        (f"{A}/evaluations/*/*.csv", f"{A}/evaluations/*/*.json")),
    Use("evaluate fitted", ("eegfm.evaluate", f"run={B}"), PLACE[B] + STORES,
        (f"{B}/evaluations/*/*.csv", f"{B}/evaluations/*/*.json")),
    Use("report", ("eegfm.report", "runs", "--csv", "out.csv", "--by-subject", "--cost"), "^runs/", ("out.csv",)),
    Use("dashboard", ("eegfm", "dashboard", "runs", "--to", "page.html"), "^runs/", ("page.html",)),
    Use("dashboard of unfinished", ("eegfm", "dashboard", "killed", "--to", "page.html"), "^killed/", ("page.html",)),
    Use("status", ("eegfm", "sweep", "status", "runs"), "^runs/"),
    Use("status of unfinished", ("eegfm", "sweep", "status", "killed"), "^killed/"),
    Use("status of a search", ("eegfm", "sweep", "status", SEARCHED), "^searched/"),
    Use("search goes on", ("eegfm.train", *SEARCH, "search.n_trials=3", "paths.runs=searched"), "^searched/",
        (f"{SEARCHED}/searches/*/search.json", f"{SEARCHED}/searches/*/search.csv")),
    Use("export", ("eegfm", "export", A, "--to", "out"), PLACE[A], ("out/*",)),
    Use("export fitted", ("eegfm", "export", B, "--to", "out"), PLACE[B], ("out/*",)),
    Use("load a run", ("tests.damage.load", A), PLACE[A]),
    Use("load a fitted run", ("tests.damage.load", B), PLACE[B]),
    Use("load an export", ("tests.damage.load", "exported/stamp"), "^exported/stamp/"),
    Use("load a fitted export", ("tests.damage.load", "exported/bandp"), "^exported/bandp/"),
    Use("start from a run", ("eegfm.train", *STAMP, "seed=4", f"weights={A}"), PLACE[A], _of("runs/demo/stamp-*-s4-*")),
    Use("start from an export", ("eegfm.train", *STAMP, "seed=4", "weights=exported/stamp"), "^exported/stamp/",
        _of("runs/demo/stamp-*-s4-*")),
    Use("stream", ("eegfm", "stream", f"run={A}", "file=data/raw/synthetic/synthetic_S14_raw.fif", "out=out"), PLACE[A],
        ("out/*.csv", "out/stream.json")),
    Use("verify", ("eegfm", "verify", "data=synthetic"), STORES[1:] + "|^data/raw/"),
    Use("verify vectors", ("eegfm", "prepare", "data=synthetic", "encoder=spectrum"), STORES[1:]),
    Use("prepare anew", ("eegfm.prepare", "data=synthetic", "paths.cache=anew"), "^data/raw/",
        ("anew/synthetic/*/samples.mdb", "anew/synthetic/*/index.npz")),
    Use("prepare goes on", ("eegfm.prepare", "data=synthetic", "paths.cache=windows"), "^windows/",
        ("windows/synthetic/*/samples.mdb", "windows/synthetic/*/index.npz")),
    Use("embed goes on", ("eegfm.prepare", "data=synthetic", "encoder=spectrum", "paths.cache=vectors"),
        "^vectors/.*parts/", ("vectors/synthetic/*/samples.mdb", "vectors/synthetic/*/index.npz")),
)  # fmt: skip
