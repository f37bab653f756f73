"""The place that `run=...` or `weights=...` names: a run folder, or a file of weights anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from omegaconf import DictConfig

from eegfm.config.from_file import buildable, read, text_of
from eegfm.contracts import EegfmError
from eegfm.runs.results import CONFIG, RunResult, read_result, refuse_changed_file
from eegfm.support.checksums import refuse_changed
from eegfm.tasks.weights import config_of

CHECKPOINTS = "checkpoints"  # the folder of checkpoints in a run folder
EXPORTED = ("config.json", "model.safetensors")  # what `eegfm export` writes: a description and the weights


@dataclass(frozen=True)
class Place:
    """A run folder, a file of weights or an exported folder, as a person named it; properties read it when used.

    `trust` are the modules that its config may name beside those of `conf/` (see `eegfm.config.from_file`).
    """

    path: Path
    trust: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | Path, trust: str | Sequence[str] = ()) -> Self:
        return cls(Path(path), (trust,) if isinstance(trust, str) else tuple(trust))

    def __str__(self) -> str:
        return str(self.path)

    @property
    def folder(self) -> Path:
        """The run's folder; for a file outside a run's `checkpoints/`, the folder that holds the file."""
        if self.path.is_dir():
            return self.path
        return self.path.parent.parent if self.path.parent.name == CHECKPOINTS else self.path.parent

    @property
    def beside(self) -> Path:
        """Where new files about it go: beside the file, so that another epoch's never replace the run's."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def checkpoint(self) -> Path:
        """The file itself, the epoch that a trained run has kept, or the weights of an exported folder.

        Raises:
            EegfmError: there is neither, the run has not saved a checkpoint yet, or it is not as the run wrote it.
        """
        if self.path.is_file():
            return self.unchanged(self.path)
        if not self.is_run and all((self.path / name).is_file() for name in EXPORTED):
            return self.path / EXPORTED[1]
        if not self.is_run:
            raise EegfmError(
                f"No run and no checkpoint at {self}: wanted a run folder, a .ckpt, .pth or .safetensors file, or a "
                "folder of eegfm export."
            )
        config = self.path / CONFIG
        keep = (read(self._text(), str(config)).get("selection") or {}).get("keep", "best")
        if keep not in ("best", "last"):
            raise EegfmError(f"{config}: selection.keep is neither best nor last.")
        checkpoint = self.path / CHECKPOINTS / f"{keep}.ckpt"
        if not checkpoint.is_file():
            raise EegfmError(
                f"The run at {self} has no {checkpoint.name} yet: train it first, or name a checkpoint file."
            )
        return self.unchanged(checkpoint)

    def unchanged(self, kept: Path) -> Path:
        """The file itself, which is held against the run's result if the run has kept it.

        Raises:
            EegfmError: the file is not the one that the result was made with.
        """
        result = self.result if kept.parent == self.folder / CHECKPOINTS else None
        if result is not None and kept.name in result.checkpoints:
            refuse_changed(kept, [result.checkpoints[kept.name]])
        return kept

    def _text(self) -> str:
        """The text of the run's config, held against the run's result and the sum beside it."""
        if self.result is not None:
            refuse_changed_file(self.result, self.path, CONFIG)
        return text_of(self.path / CONFIG)

    @property
    def config(self) -> DictConfig:
        """The config of the run folder, or the one that the checkpoint carries; a new object every time.

        It may be built: see `buildable` for what differs from the file, and what is refused.

        Raises:
            EegfmError: there is none, or one that is not built from a file.
        """
        if self.is_run:
            return buildable(self._text(), str(self.path / CONFIG), self.trust)
        if not self.path.is_file():
            raise EegfmError(
                f"run={self}: wanted a run folder (with config.yaml) or a checkpoint (.ckpt) in one."
            )
        text = config_of(self.checkpoint)
        if not text:
            raise EegfmError(
                f"{self} carries no config: it was not written by a run. Name the run folder instead."
            )
        return buildable(text, str(self), self.trust)

    @property
    def is_run(self) -> bool:
        """Whether it is the folder of a run that has begun."""
        return (self.path / CONFIG).is_file()

    @property
    def result(self) -> RunResult | None:
        """The result of the run; None if the run has not ended or the file lies in no run."""
        return read_result(self.folder) if (self.folder / "result.json").is_file() else None
