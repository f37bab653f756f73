"""A backbone that gives windows back: a few convolutions, big enough to bridge a gap in a rhythm. And such rhythms."""

import math
from typing import ClassVar

import numpy as np
import torch
from lightning import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, Dataset

from eegfm.contracts import EEGBatch, Montage, SampleSpec

SFREQ, N_TIMES, N_CHANNELS = 64.0, 128, 3
PLACES = np.array([[-0.06, 0.0, 0.1], [0.0, 0.0, 0.13], [0.06, 0.0, 0.1]])
SPEC = SampleSpec(Montage(("C3", "Cz", "C4"), PLACES), (N_CHANNELS, N_TIMES), SFREQ, ("slow", "fast"))
SIZES = {"train": 96, "val": 22, "test": 22}


class Autoencoder(nn.Module):
    """A pile of dilated convolutions, `width` channels wide, that sees 150 samples; no skip past it."""

    time_axis: ClassVar = {"encoder": 2, "turned": 1}

    def __init__(self, spec: SampleSpec, *, width: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.Conv1d(spec.n_channels, width, 5, padding=2)
        self.middle = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(width, width, 5, padding=2 * d, dilation=d), nn.GELU())
                for d in (1, 2, 4, 8)
            )
        )
        self.turned = nn.Linear(width, width)
        self.noise = nn.Dropout(dropout)
        self.decoder = nn.Conv1d(width, spec.n_channels, 5, padding=2)

    def forward(self, x, coords):
        assert coords.shape == (x.shape[1], 3)
        h = self.middle(self.encoder(x))
        return self.decoder(self.noise(self.turned(h.transpose(1, 2)).transpose(1, 2)))

    def embed(self, x, coords):
        return self.encoder(x).mean(-1)


class Rhythms(Dataset):
    """Sinusoids of 30 µV at random phases, of 5 Hz (class 0) or 7 Hz (class 1), with a little noise."""

    def __init__(self, n: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.label = torch.arange(n) % 2
        hz = torch.tensor([5.0, 7.0])[self.label]
        phase = 2 * math.pi * torch.rand(n, N_CHANNELS, 1, generator=generator)
        t = torch.arange(N_TIMES) / SFREQ
        wave = torch.sin(2 * math.pi * hz[:, None, None] * t + phase)
        self.x = 30 * wave + torch.randn(n, N_CHANNELS, N_TIMES, generator=generator)
        self.name = seed

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, rows) -> EEGBatch:
        rows = torch.as_tensor(rows)
        return EEGBatch(
            x=self.x[rows],
            coords=torch.tensor(PLACES, dtype=torch.float32),
            label=self.label[rows],
            subject=rows % 4,
            key=[f"{self.name}/{row}s" for row in rows.tolist()],
        )


class Data(LightningDataModule):
    """Rhythms as splits, in batches of `batch_size`, in stored order."""

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.splits = {name: Rhythms(n, seed=i) for i, (name, n) in enumerate(SIZES.items())}

    def loader(self, split: str) -> DataLoader:
        return DataLoader(self.splits[split], batch_size=self.batch_size, collate_fn=lambda batch: batch)

    def train_dataloader(self):
        return self.loader("train")

    def val_dataloader(self):
        return self.loader("val")

    def test_dataloader(self):
        return self.loader("test")
