"""The whole system in plain PyTorch: a prepared store, STAMP over log spectra, a training loop, scores by person.

Nothing of eegfm is imported; what it does around this (checks, leaks, resuming, reports) is left out. First make a
store, then name it:

    eegfm prepare data=synthetic
    python examples/train_simple.py data/cache/synthetic/<fingerprint>
"""

import json
import sys
from pathlib import Path

import lmdb
import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import nn

SECOND = 200  # samples
WIDTH, DEPTH, HEADS, QUERIES, DROPOUT = 64, 2, 4, 8, 0.2
EPOCHS, BATCH, RATE = 15, 32, 2e-3


def windows(store: Path) -> tuple[np.ndarray, np.lib.npyio.NpzFile]:
    """All windows [row, channel, time] in microvolts, and what is known of each row."""
    shape = json.loads((store / "recipe.json").read_text())["shape"]
    index = np.load(store / "index.npz")
    with (
        lmdb.open(str(store / "samples.mdb"), subdir=False, readonly=True, lock=False) as env,
        env.begin() as reader,
    ):
        values = [reader.get(row.to_bytes(8, "big")) for row in range(len(index["label"]))]
    return np.stack([np.frombuffer(value, "<f4").reshape(shape) for value in values]), index


def spectra(x: torch.Tensor, high_hz: int = 45, tapers: int = 3) -> torch.Tensor:
    """Log power of every second of every channel in dB, [row, channel, second, frequency]."""
    time = torch.arange(1, SECOND + 1) / (SECOND + 1)
    order = torch.arange(1, tapers + 1)[:, None]
    taper = (2 / (SECOND + 1)) ** 0.5 * torch.sin(torch.pi * order * time)
    seconds = x.unflatten(-1, (-1, SECOND))
    seconds = seconds - seconds.mean(-1, keepdim=True)
    power = torch.fft.rfft(seconds[..., None, :] * taper).abs().square().sum(-2)[..., 1 : high_hz + 1]
    return 10 * (2 * power / (SECOND * tapers)).clamp_min(1e-4).log10()


class Gate(nn.Module):
    """Half of the features, gated by a linear mix of the other half along one axis of the grid."""

    def __init__(self, size: int, width: int, axis: int) -> None:
        super().__init__()
        self.axis, self.norm, self.mix = axis, nn.LayerNorm(width), nn.Linear(size, size)
        nn.init.normal_(self.mix.weight, std=1e-3)
        nn.init.ones_(self.mix.bias)

    def forward(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return u * self.mix(self.norm(v).transpose(self.axis, -1)).transpose(self.axis, -1)


class Block(nn.Module):
    """STAMP's criss-cross gated MLP: along seconds and along channels."""

    def __init__(self, seconds: int, channels: int) -> None:
        super().__init__()
        self.norm, self.into, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256), nn.Linear(256, WIDTH)
        self.time, self.space = Gate(seconds, 128, 1), Gate(channels, 128, 2)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u, v = nn.functional.gelu(self.into(self.norm(x))).chunk(2, -1)
        return x + self.dropout(self.out(torch.cat((self.time(u, v), self.space(u, v)), -1)))


class Stamp(nn.Module):
    """Tokens of a frozen encoder [batch, channel, second, feature] to one logit."""

    def __init__(
        self, channels: int, seconds: int, features: int, mean: torch.Tensor, std: torch.Tensor
    ) -> None:
        super().__init__()
        self.mean, self.std = nn.Buffer(mean), nn.Buffer(std)
        self.project = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(features, WIDTH))
        self.place = nn.Parameter(torch.randn(channels, WIDTH))
        self.blocks = nn.Sequential(*(Block(seconds, channels) for _ in range(DEPTH)))
        self.queries = nn.Parameter(torch.randn(HEADS, QUERIES, WIDTH // HEADS) * 0.1)
        self.keys, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.dropout, self.head = nn.Dropout(DROPOUT), nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.project((x.transpose(1, 2) - self.mean) / self.std) + self.place
        tokens = self.blocks(tokens).flatten(1, 2)
        values = self.dropout(self.keys(tokens)).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        attention = self.dropout(torch.softmax(self.queries @ values.mT / (WIDTH // HEADS) ** 0.5, -1))
        weights = torch.softmax(attention.sum(-1), -1)  # of the queries of a head
        pooled = self.out((weights[:, :, None] @ attention @ values).flatten(1))
        return self.head(pooled + 0.1 * tokens.mean(1))[:, 0]


def probabilities(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).sigmoid() for part in x.split(256)]).numpy()


def main(store: Path) -> None:
    torch.manual_seed(0)
    raw, index = windows(store)
    x, y = spectra(torch.from_numpy(raw)), torch.from_numpy(index["label"]).float()
    rows = {
        split: torch.from_numpy(np.flatnonzero(index["split"] == split))
        for split in ("train", "val", "test")
    }
    tokens = x[rows["train"]].transpose(
        1, 2
    )  # the norm is of the training persons: one for a channel and a frequency
    model = Stamp(*x.shape[1:], tokens.mean((0, 1)), tokens.std((0, 1)) + 1e-6)
    steps = EPOCHS * -(-len(rows["train"]) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    best, kept = 0.0, {}
    for epoch in range(EPOCHS):
        model.train()
        for batch in rows["train"][torch.randperm(len(rows["train"]))].split(BATCH):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
        score = roc_auc_score(y[rows["val"]], probabilities(model, x[rows["val"]]))
        print(f"epoch {epoch + 1}/{EPOCHS}  validation AUROC {score:.4f}")
        if score > best:  # the epoch is chosen by validation, never by the test
            best, kept = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    found, truth = probabilities(model, x[rows["test"]]), y[rows["test"]].numpy()
    persons = index["subject"][rows["test"]]
    for person in ["all", *np.unique(persons)]:
        of = (persons == person) | (person == "all")
        accuracy, auroc = (
            balanced_accuracy_score(truth[of], found[of] > 0.5),
            roc_auc_score(truth[of], found[of]),
        )
        print(f"{person:>5}  {of.sum():4} windows  balanced accuracy {accuracy:.4f}  AUROC {auroc:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
