"""The commands whose work is interrupted, by a kill or a full disk; all that one writes lies below `new/`."""

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from eegfm.runs.status import look
from tests.damage.uses import RUN, Said, Use
from tests.damage.world import BANDPOWER, SAMBA, SEARCH, STAMP, copy

FINISHED = "runs/demo/stamp-*-s1-*"
COPY = {f"new/{FINISHED}": FINISHED}
AT = f"new/{FINISHED}"
OF_RUN = tuple(f"new/*/*/{name}" for name in (*RUN, "leakage.json", "config.yaml"))
STORE = ("new/cache/*/*/samples.mdb", "new/cache/*/*/index.npz", "new/cache/*/*/recipe.json")
SWEEP = (
    "model=majority",
    "data=synthetic",
    "data.train_ratio=0.1",
    "seed=1,2",
    "hydra/launcher=local",
    "paths.runs=new",
)
AWAY_S = 120  # for processes that a submission has started


@dataclass(frozen=True, eq=False)
class Work:
    """A command, and the files of its results; `needs` are copied first: target by source, below the place.

    `status`: it writes a run, whose status tells of a full disk. `starts`: it starts processes, which are waited for.
    """

    use: Use
    needs: dict[str, str] = field(default_factory=dict)
    status: bool = False
    starts: bool = False

    def lay(self, place: Path) -> None:
        """Copy what it needs."""
        for target, pattern in self.needs.items():
            (source,) = place.glob(pattern)
            to = place / target
            to = to.with_name(source.name) if "*" in to.name else to
            if not to.exists():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(source, to, copy_function=copy)

    def run(self, place: Path) -> Said:
        """Run it to its end."""
        said = self.use.run(place)
        if self.starts and not said.status:
            wait_for_cells(place / "new")
            said = replace(self.use, command=("eegfm", "sweep", "status", "new")).run(place)
        return said


def wait_for_cells(folder: Path) -> None:
    """Wait until no process works on a cell below the folder, or waits to."""
    deadline = time.monotonic() + AWAY_S
    while time.monotonic() < deadline:
        found = [look(path.parent) for path in folder.rglob("status.json")]
        if not any(one and one.state in ("queued", "running") for one in found):
            return
        time.sleep(0.2)
    raise AssertionError(f"cells still wait or run in {folder}")


def _work(name: str, command: tuple[str, ...], writes: tuple[str, ...], **more) -> Work:
    return Work(Use(name, command, "", writes), **more)


WORKS = (
    _work("prepare", ("eegfm.prepare", "data=synthetic", "paths.cache=new/cache"), STORE),
    _work("embed", ("eegfm.prepare", "data=synthetic", "encoder=spectrum", "paths.cache=new/cache"), STORE,
          needs={"new/cache/synthetic": "windows_alone/synthetic"}),
    _work("convert", ("eegfm", "convert", "data=mental_arithmetic", "lmdb=theirs", "data.allow_partial=true",
                      "paths.cache=new/cache"), STORE),
    _work("train", ("eegfm.train", *STAMP, "seed=5", "paths.runs=new"), OF_RUN, status=True),
    _work("train samba", ("eegfm.train", *SAMBA, "seed=5", "save_steps=2", "paths.runs=new"), OF_RUN, status=True),
    _work("fit", ("eegfm.train", *BANDPOWER, "seed=5", "paths.runs=new"), OF_RUN, status=True),
    _work("evaluate", ("eegfm.evaluate", f"run={AT}"), (f"{AT}/evaluations/*/*.csv", f"{AT}/evaluations/*/*.json"),
          needs=COPY),
    _work("report", ("eegfm.report", "runs", "--csv", "new/a.csv", "--markdown", "new/a.md", "--html", "new/a.html"),
          ("new/a.*",)),
    _work("dashboard", ("eegfm", "dashboard", "runs", "--to", "new/page.html"), ("new/page.html",)),
    _work("export", ("eegfm", "export", FINISHED, "--to", "new/out"), ("new/out/*",)),
    _work("stream", ("eegfm", "stream", f"run={FINISHED}",
                     "file=data/raw/synthetic/synthetic_S14_raw.fif", "out=new/out"),
          ("new/out/*.csv", "new/out/stream.json")),
    _work("search", ("eegfm.train", *SEARCH, "search.n_trials=2", "paths.runs=new"),
          ("new/single/searches/*/search.csv", "new/single/bandpower-*/result.json")),
    _work("sweep", ("eegfm", "sweep", "submit", *SWEEP), ("new/*/*/result.json", "new/*/*/predictions_*.csv"),
          status=True, starts=True),
)  # fmt: skip
