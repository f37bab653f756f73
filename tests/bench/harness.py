"""What a run costs beyond its training: `eegfm train` against the same loop in plain PyTorch, and composing a config.

python -m tests.bench.harness [cell] [compose]      on a quiet machine

The plain loop is what one would write without us: the same batches, network, loss, optimiser and schedule, validation
after every epoch, the best weights kept in memory, validation and test scored at the end. The cell does the same and
leaves its run folder: checkpoints, losses, predictions, figures, provenance.
"""

import copy
import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig
from rich.table import Table

from eegfm.build import build_data
from eegfm.config.identity import without_hydra
from eegfm.config.make import make
from eegfm.config.schema import config_dir, register
from eegfm.nn.scaling import fit_unit
from eegfm.tasks.classify import inverse_frequency
from eegfm.tasks.metrics import probabilities, scores
from eegfm.training.run import train
from eegfm.training.selection import chooses
from tests.bench.eegm2 import machine
from tests.bench.scan import alternating, console

CELLS = {
    "the demo (a small STAMP)": ["experiment=demo"],
    "EEGM2, an eighth of its width, on raw windows": [
        "row=eegm2_small",
        "data.batch_size=32",
        "trainer.max_epochs=15",
    ],
}
RUNS = 2  # after one that is not counted


def composed(overrides: Sequence[str], place: Path) -> tuple[DictConfig, dict[str, Any]]:
    """A run's config on the CPU with its folders in `place`, and the options chosen for it."""
    register()
    where = [f"paths.{name}={place / name}" for name in ("raw", "cache", "runs")]
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        config = hydra_compose("train", [*overrides, *where, "trainer=cpu"], return_hydra_config=True)
    return without_hydra(config), dict(config.hydra.runtime.choices)


def plainly(config: DictConfig) -> tuple[list[float], dict[str, dict[str, float]]]:
    """Every step's loss, and the scores of the best epoch."""
    torch.manual_seed(config.seed)
    np.random.seed(config.seed)
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    model = make(config.task, "task")(make(config.model, "model")(data.spec), data.spec)
    if model.balanced:
        model.class_weight.copy_(inverse_frequency(data.class_counts()))
    fit_unit(model.backbone, data.train_inputs())
    if hasattr(model.backbone, "fit_input"):
        model.backbone.fit_input(data.train_inputs())
    loader, n_classes = data.train_dataloader(), len(data.spec.classes)
    optimizer = model.make_optimizer(model.parameter_groups())
    steps = config.trainer.max_epochs * len(loader)
    schedule = model.make_schedule(optimizer, steps) if model.make_schedule else None

    def score(split: str) -> dict[str, float]:
        model.eval()
        logits, labels = [], []
        with torch.no_grad():
            for batch in data.split_dataloader(split):  # type: ignore[arg-type]
                logits.append(model(batch.x, batch.coords))
                labels.append(batch.label)
        whole, label = torch.cat(logits), torch.cat(labels)
        found = scores(probabilities(whole), label.numpy(), n_classes=n_classes)
        return {**found, "loss": model.loss(whole, label).item()}

    trace: list[float] = []
    best, kept = -np.inf, {}
    (metric, better), rule = chooses(model, config.selection), config.selection
    for epoch in range(config.trainer.max_epochs):
        model.train()
        loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        for i, batch in enumerate(loader):
            seed = np.random.SeedSequence([model.seed, len(trace), i, 0]).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(seed))
            loss = model.loss(model(batch.x, batch.coords), batch.label)
            optimizer.zero_grad()
            loss.backward()
            if config.trainer.gradient_clip_val:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.trainer.gradient_clip_val)
            optimizer.step()
            if schedule:
                schedule.step()
            trace.append(loss.item())
        found = score("val")[metric] * (1 if better == "max" else -1)
        if epoch >= rule.first_epoch and found > best + rule.min_delta:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    data.setup("test")
    return trace, {
        split: {name: value for name, value in score(split).items() if name != "loss"}
        for split in ("val", "test")
    }


def as_a_cell(config: DictConfig, choices: dict[str, Any], folder: Path) -> None:
    """What `eegfm train` does between composing and leaving."""
    folder.mkdir(parents=True)
    with redirect_stdout(io.StringIO()):
        train(config, folder, choices)


def losses(folder: Path) -> list[float]:
    with open(folder / "loss.csv", encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def cell() -> None:
    """The whole of a cell, its store prepared, against the plain loop."""
    table = Table(
        "200 steps and more", "steps", "plain, s (CPU)", "a cell, s (CPU)", "a cell / plain (CPU)"
    )
    with tempfile.TemporaryDirectory() as place:
        for name, overrides in CELLS.items():
            config, choices = composed(overrides, Path(place))
            folders = iter(Path(place) / "runs" / name / str(i) for i in range(RUNS + 1))
            steps = len(plainly(config)[0])
            found = alternating(
                {
                    "plain": lambda config=config: plainly(config),
                    "cell": lambda config=config, choices=choices, folders=folders: as_a_cell(
                        config, choices, next(folders)
                    ),
                },
                RUNS,
            )
            (wall, cpu), (cell_wall, cell_cpu) = found["plain"], found["cell"]
            table.add_row(
                name,
                str(steps),
                f"{wall:.1f} ({cpu:.1f})",
                f"{cell_wall:.1f} ({cell_cpu:.1f})",
                f"{cell_wall / wall:.2f} ({cell_cpu / cpu:.2f})",
            )
    console.print(f"goal below 1.10; on {machine('cpu')}")
    console.print(table)


def compose() -> None:
    """Composing a run's config: in a process that has done it before, and from nothing to its first line."""
    with tempfile.TemporaryDirectory() as place:
        overrides = ["experiment=demo", "seed=1"]
        found = alternating({"again": lambda: composed(overrides, Path(place))}, 7)
        command = [sys.executable, "-m", "eegfm.train", *overrides, "--cfg", "job"]
        works = {"command": lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)}
        wall, _ = alternating(works, 5)["command"]
    table = Table("composing", "seconds")
    table.add_row("in one process, again", f"{found['again'][0]:.2f}")
    table.add_row("python -m eegfm.train experiment=demo --cfg job", f"{wall:.2f}")
    console.print(f"goal 1 s; on {machine('cpu')}")
    console.print(table)


def main() -> None:
    cell()
    compose()


if __name__ == "__main__":
    for name in sys.argv[1:] or ["cell", "compose"]:
        {"cell": cell, "compose": compose}[name]()
