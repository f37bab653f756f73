"""braindecode's networks through `eegfm train` against a loop that knows braindecode and torch alone.

EEGFM_TEST_DATA=<folder of real recordings> python -m tests.bench braindecode

The loop makes the network by its name, reads the same windows, walks them in the same order, weighs classes alike,
takes the statistics of batch norms anew before each validation, keeps the epoch of the lowest validation loss and
scores the test by scikit-learn. Losses of every step, validation losses of every epoch and test scores should be equal.
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import braindecode.models
import numpy as np
import torch
from lightning import seed_everything
from omegaconf import DictConfig
from rich.table import Table
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from eegfm.build import build_data
from tests.bench.harness import as_a_cell, composed, losses
from tests.bench.scan import console

NETWORKS = ("EEGNet", "ShallowFBCSPNet", "Deep4Net")
BY_RUN = ["split=recordings", "split.val=[S001R08,S001R10]", "split.test=[S001R12,S001R14]"]
# the folder of raw files, and what else is chosen: two classes by subject; one person, four classes, held out in time
CORPORA = {"mental_arithmetic": ("mental_arithmetic_eegmat", []), "physionet_mi": ("eegmmidb", BY_RUN)}
SETTLING = 2**31  # the epoch whose order gives the batches of statistics

Found = tuple[list[float], list[float], dict[str, float]]


def windows_of(data: Any, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [(batch.x, batch.label) for batch in data.split_dataloader(split)]
    return torch.cat([x for x, _ in batches]) / 100, torch.cat([label for _, label in batches])


def plainly(config: DictConfig) -> Found:
    """The loss of every step, the validation loss of every epoch, and the test scores of the epoch that is kept."""
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    (x, y), (x_val, y_val) = (windows_of(data, split) for split in ("train", "val"))
    data.setup("test")
    x_test, y_test = windows_of(data, "test")
    n = len(data.spec.classes)
    weight = len(y) / (n * torch.bincount(y, minlength=n).float())

    seed_everything(config.seed, verbose=False)
    network = getattr(braindecode.models, config.model.name)(
        n_chans=x.shape[1], n_times=x.shape[2], sfreq=data.spec.sfreq, n_outputs=1 if n == 2 else n
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    batch = int(config.data.batch_size)

    def order(epoch: int) -> list[torch.Tensor]:
        drawn = np.random.default_rng([config.seed, epoch]).permutation(len(y))
        return [torch.from_numpy(drawn[start : start + batch]) for start in range(0, len(y), batch)]

    def loss_of(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if n == 2:
            return binary_cross_entropy_with_logits(logits[:, 0], label.float(), weight[label])
        return (cross_entropy(logits, label, reduction="none") * weight[label]).mean()

    def settle() -> None:
        """Means and variances of batch norms, averaged over batches of training windows."""
        norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        momenta = [norm.momentum for norm in norms]
        with torch.no_grad():
            for seen, rows in enumerate(order(SETTLING), 1):
                for norm in norms:
                    norm.momentum = 1 / seen  # a mean of so many batches
                if len(rows) > 1:
                    network(x[rows])
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def logits_of(windows: torch.Tensor) -> torch.Tensor:
        network.eval()
        with torch.no_grad():
            return torch.cat([network(part) for part in windows.split(batch)])

    trace, curve, best, kept = [], [], np.inf, {}
    for epoch in range(config.trainer.max_epochs):
        network.train()
        for i, rows in enumerate(order(epoch)):
            noise = np.random.SeedSequence([config.seed, len(trace), i, 0]).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(noise))  # of dropout
            loss = loss_of(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            trace.append(loss.item())
        settle()
        curve.append(loss_of(logits_of(x_val), y_val).item())
        if curve[-1] < best:
            best, kept = curve[-1], {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    found, truth = logits_of(x_test).double().numpy(), y_test.numpy()
    decided = found[:, 0] > 0 if n == 2 else found.argmax(axis=1)
    scores = {"balanced_accuracy": float(balanced_accuracy_score(truth, decided))}
    if n == 2:
        return trace, curve, scores | {"auroc": float(roc_auc_score(truth, found[:, 0]))}
    return trace, curve, scores | {"cohen_kappa": float(cohen_kappa_score(truth, decided))}


def through_us(config: DictConfig, choices: dict[str, Any], folder: Path) -> Found:
    """The same of `eegfm train`, as its run folder has it."""
    as_a_cell(config, choices, folder)
    with open(folder / "metrics.csv", encoding="utf-8") as file:
        curve = [float(row["val/loss"]) for row in csv.DictReader(file) if row.get("val/loss")]
    tested = json.loads((folder / "result.json").read_text())["metrics"]["test"]
    names = [name for name in ("balanced_accuracy", "auroc", "cohen_kappa") if name in tested]
    return losses(folder), curve, {name: tested[name] for name in names}


def compared(corpus: str, name: str, seed: int, place: Path) -> list[str]:
    """A row of the table."""
    raw, more = CORPORA[corpus]
    overrides = [
        f"data={corpus}",
        f"data.raw={Path(os.environ['EEGFM_TEST_DATA']) / raw}",
        *more,
        f"seed={seed}",
    ]
    overrides += [
        "data.allow_partial=true",
        "trainer.max_epochs=5",
        "model=braindecode",
        f"model.name={name}",
    ]
    config, choices = composed(overrides, place)
    trace, curve, scores = plainly(config)
    our_trace, our_curve, our_scores = through_us(
        config, choices, place / "runs" / f"{corpus}-{name}-{seed}"
    )
    apart = [np.abs(np.subtract(a, b)).max() for a, b in ((trace, our_trace), (curve, our_curve))]
    shown = [" ".join(f"{value:.6f}" for value in one.values()) for one in (scores, our_scores)]
    return [corpus, name, str(seed), str(len(trace)), *(f"{one:.1e}" for one in apart), *shown]


def main(corpora: list[str] | None = None) -> None:
    table = Table(
        "corpus", "network", "seed", "steps", "loss, apart", "of validation, apart", "plain", "ours"
    )
    with tempfile.TemporaryDirectory() as place:
        for corpus in corpora or [*CORPORA]:
            for name in NETWORKS:
                for seed in (0, 1, 2):
                    row = compared(corpus, name, seed, Path(place))
                    console.print("  ".join(row))
                    table.add_row(*row)
    console.print("5 epochs; test: balanced accuracy, and AUROC or Cohen's kappa")
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
