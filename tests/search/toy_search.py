"""A training that costs nothing, behind the real sweeper: `python -m tests.search.toy_search <overrides>`.

`quick` is the same search without Hydra around it, which takes a quarter of a second to compose a config.
Validation is best at a=2, b=1, the test score where validation is worst. a=9 fails, and
where there is a file `full` all do, as on a full disk. $TOY_HANGS_AT: the training of that
number, counted over all processes, takes a minute; $TOY_WAITS_FOR: none ends before so many processes have begun one.
"""

import errno
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from eegfm.config.identity import run_name
from eegfm.config.schema import config_dir, register
from eegfm.contracts import EegfmError
from eegfm.runs.status import at_work
from eegfm.search.loop import search
from eegfm.support.files import refused_by_disk

GROUPS = ("data", "encoder", "model")
CONFIG = """
defaults:
  - data: none
  - encoder: none
  - model: none
  - search: null
  - experiment: null
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
  - _self_
seed: 0
model: {a: 0, b: 0}
task: {_target_: eegfm.tasks.classify.Classify}
paths: {runs: runs}
search: {}
hydra:
  output_subdir: null
  run: {dir: "${paths.runs}/${eegfm.run_name:}"}
  sweep: {dir: "${paths.runs}", subdir: "${eegfm.run_name:}"}
"""


def value_of(a: float, b: float) -> float:
    return 1.0 - (a - 2.0) ** 2 / 100 - (b - 1.0) ** 2 / 10


def toy(config: DictConfig) -> float:
    return train(config, Path(HydraConfig.get().runtime.output_dir))


def train(config: DictConfig, folder: Path) -> float:
    result = folder / "result.json"
    if not result.exists():
        with at_work(folder):
            a, b = config.model.a, config.model.b
            with open("begun", "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {folder.name}\n")
            if _begun() == os.environ.get("TOY_HANGS_AT"):
                time.sleep(60)
            deadline = time.monotonic() + 60
            while _pids() < int(os.environ.get("TOY_WAITS_FOR", 1)) and time.monotonic() < deadline:
                time.sleep(0.02)
            if Path("full").exists():
                raise EegfmError(refused_by_disk(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder))
            if a == 9:
                raise EegfmError("Nine is no depth.")
            value = value_of(a, b)
            result.write_text(
                json.dumps(
                    {"monitor": "auroc", "monitor_value": value, "metrics": {"test": {"auroc": -value}}}
                )
            )
    return json.loads(result.read_text())["monitor_value"]


def main(place: Path, overrides: list[str]) -> None:
    """Run the command in `place`, with a config tree of its own that has our `search`."""
    tree = place / "conf"
    if not tree.exists():
        tree.mkdir()
        (tree / "train.yaml").write_text(CONFIG)
        for group in GROUPS:
            (tree / group).mkdir()
            (tree / group / "none.yaml").write_text("{}\n")
        shutil.copytree(config_dir() / "search", tree / "search")
    register()
    before = sys.argv
    sys.argv = ["toy", *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(tree), config_name="train")(toy)()
    finally:
        sys.argv = before


def _begun() -> str:
    return str(len(Path("begun").read_text().splitlines()))


def _pids() -> int:
    return len({line.split()[0] for line in Path("begun").read_text().splitlines()})


class Plain:
    """Composes as Hydra's loader does, of one file and values."""

    def load_sweep_config(self, config: DictConfig, overrides: list[str]) -> DictConfig:
        base = config.copy()
        for one in OverridesParser.create().parse_overrides(overrides):
            if OmegaConf.select(base, one.key_or_group, default=base) is base:
                raise ConfigCompositionException(f"Key {one.key_or_group!r} is not there")
            OmegaConf.update(base, one.key_or_group, one.value())
        return base


class Here(Launcher):
    """Does the runs one after another."""

    def setup(self, **kwargs: Any) -> None:
        self.config = kwargs["config"]

    def launch(self, job_overrides: Any, initial_job_idx: int) -> Any:
        for overrides in job_overrides:
            config, ended = Plain().load_sweep_config(self.config, overrides), JobReturn()
            try:
                train(config, Path(config.paths.runs) / run_name(_root_=config))
            except Exception as error:
                ended.status, ended.return_value = JobStatus.FAILED, error
                yield ended


def quick(overrides: list[str]) -> float:
    config = OmegaConf.create(CONFIG)
    config.search = OmegaConf.load(config_dir() / "search" / "optuna.yaml").search
    for part, name in {"sampler": "tpe", "pruner": "median"}.items():
        config.search[part] = OmegaConf.load(config_dir() / "search" / part / f"{name}.yaml")
    config.hydra = {"runtime": {"choices": dict.fromkeys(GROUPS, "none")}}
    OmegaConf.set_struct(config, True)
    launcher = Here()
    launcher.setup(config=config)
    return search(config, Plain(), launcher, overrides)


if __name__ == "__main__":
    main(Path.cwd(), sys.argv[1:])
