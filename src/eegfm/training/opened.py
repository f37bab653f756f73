"""The folder of a run that a command has named, before anything is written into it.

Hydra itself would write its record of the command (`.hydra/`) and its log there as soon as a command begins, through
links and into anybody's folder. So `conf/train.yaml` tells it to leave the folder alone, and both are written here.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from eegfm.config.written import as_written
from eegfm.contracts import EegfmError
from eegfm.runs.lock import held
from eegfm.runs.results import CONFIG
from eegfm.runs.same_run import refuse_another_run
from eegfm.support.files import refuse_links, write_text

RECORD, LOG = ".hydra", "train.log"


@contextmanager
def opened(folder: Path, config: DictConfig, hydra: DictConfig | None = None) -> Iterator[None]:
    """Keep in a run's folder what Hydra has composed, and what is logged while the block runs.

    A run that is refused before it begins, by its data for example, leaves no folder: the same command with another
    value has another name. A cell of a sweep leaves its own, for `eegfm sweep status`.

    `hydra` is the config's part of Hydra's own; None: that of the running command.

    Raises:
        EegfmError: the folder holds another run, or one of these files is a link. Then nothing was written.
    """
    record, log = folder / RECORD, folder / LOG
    refuse_another_run(folder, as_written(config))
    refuse_links(record, log, *record.glob("*"))
    known: Any = HydraConfig.instance().cfg if hydra is None else hydra
    alone = known.hydra.get("mode") != RunMode.MULTIRUN and not any(folder.iterdir())
    record.mkdir(exist_ok=True)
    for name, node in (
        ("config", config),
        ("hydra", known),
        ("overrides", known.hydra.overrides.task),
    ):
        write_text(record / f"{name}.yaml", OmegaConf.to_yaml(node))
    try:
        with _logged(log):
            yield
    except EegfmError:
        if alone:
            _unless_begun_remove(folder)
        raise


@contextmanager
def _logged(log: Path) -> Iterator[None]:
    root = logging.getLogger()
    shown = [one.formatter for one in root.handlers if one.formatter is not None]
    if not shown:  # a person has turned logging off
        yield
        return
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(shown[0])
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _unless_begun_remove(folder: Path) -> None:
    with suppress(EegfmError), held(folder):  # unless the same command is at work on it elsewhere
        if not (folder / CONFIG).exists():
            shutil.rmtree(folder, ignore_errors=True)
