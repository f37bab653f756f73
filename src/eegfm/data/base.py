"""What a run learns from: the splits of one corpus (`eegfm.data.module`) or of several (`eegfm.data.mix`)."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning

from eegfm.benchmarks.spec import SplitName
from eegfm.contracts import Encodes, SampleSpec
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.loaders import Loader, Order
from eegfm.data.processes import refuse_too_many
from eegfm.data.resident import ResidentLoader


class EEGData(lightning.LightningDataModule):
    """The splits of one corpus (`EEGDataModule`) or of several (`Mix`), for Lightning and for whoever looks closer.

    Nobody has to ask which: one corpus is a mix of one. `corpora` has the data module of each corpus by name; the name
    of one that is alone is "". `benchmark` is the corpus's, or what a mix has in its place: name, title, protocol and
    classes.

    A checkpoint holds how far an epoch has come, since Lightning restores the number of an epoch but starts its
    batches again.
    """

    seed: int
    batch_size: int
    encoder: Encodes | None
    benchmark: Any
    _interrupted: Mapping[str, int] = {}

    @property
    def corpora(self) -> Mapping[str, Any]:
        raise NotImplementedError

    @property
    def spec(self) -> SampleSpec:
        """What a sample looks like; known before any file is opened."""
        raise NotImplementedError

    @property
    def subjects(self) -> list[str]:
        """Subject ids, in the order of `EEGBatch.subject`."""
        raise NotImplementedError

    def provenance(self) -> BenchmarkFacts:
        """Facts about the data, for the run's result."""
        raise NotImplementedError

    def datasets(self, split: SplitName) -> Mapping[str, Any]:
        """A split in stored order, by corpus that has some of it. The test split opens in the test stage only."""
        raise NotImplementedError

    def train_dataloader(self) -> Loader | ResidentLoader:
        return self._loader("train", self.seed)

    def val_dataloader(self) -> Loader | ResidentLoader:
        return self._loader("val")

    def test_dataloader(self) -> Loader | ResidentLoader:
        return self._loader("test")

    def split_dataloader(self, split: SplitName) -> Loader | ResidentLoader:
        """Any split in stored order, for evaluation."""
        return self._loader(split)

    def _loader(self, split: SplitName, seed: int | None = None) -> Loader | ResidentLoader:
        raise NotImplementedError

    def state_dict(self) -> dict[str, int]:
        """The epoch and the number of batches trained in it; empty between epochs."""
        if self.trainer is None:
            return {}
        done = self.trainer.fit_loop.batch_idx + 1
        # after a whole epoch, the epoch number is already that of the next
        return (
            {"epoch": self.trainer.current_epoch, "batches": done}
            if done < self.trainer.num_training_batches
            else {}
        )

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Let the next training loader continue the interrupted epoch."""
        self._interrupted = dict(state_dict)

    def _going_on(self, order: Order) -> Order:
        """Make the order of an interrupted epoch start after its trained batches; returns the order."""
        if self._interrupted:
            order.skip(self._interrupted["epoch"], self._interrupted["batches"])
        return order

    def _ranks(self, windows: Mapping[str, int]) -> dict[str, int]:
        """This process's rank among several, as arguments of an `Order`; empty for one process.

        `windows` holds the number of windows of each split that is scored.
        """
        if self.trainer is None or self.trainer.world_size == 1:
            return {}
        refuse_too_many(self.trainer.world_size, self.batch_size, dict(windows))
        return {"rank": self.trainer.global_rank, "n_ranks": self.trainer.world_size}
