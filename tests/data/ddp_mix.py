"""Two processes train on a mix, for tests/data/test_mix_sampling.py: what each has seen, to a file of its own."""

import json
import sys
from pathlib import Path

import torch

from tests.data.small_mix import mix
from tests.data.test_mix_own import task_of
from tests.tasks.toy import trainer


def run(place: Path, devices: int) -> None:
    class Noted(type(task_of(mix(place, channels="own")))):
        def training_step(self, batch, batch_idx):
            self.seen[-1].append([batch.corpus, *batch.key])
            return super().training_step(batch, batch_idx)

        def on_train_epoch_start(self):
            self.seen = [*getattr(self, "seen", []), []]

    # seven of nine batches have five windows: of two processes one has two of them, the other three
    data = mix(place, channels="own")
    task = task_of(data)
    task.__class__ = Noted
    more = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
    fit = trainer(place, max_epochs=3, **more)
    fit.fit(task, datamodule=data)
    metrics = {key: float(value) for key, value in fit.callback_metrics.items() if key.startswith("val/")}
    found = {"seen": task.seen, "val": metrics, "keys": task.outputs.keys}
    (place / f"seen-{devices}-{fit.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), 2)
