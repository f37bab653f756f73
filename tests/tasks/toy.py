"""A backbone of a few weights and a separable data set in memory: enough for every property of a task."""

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from eegfm.contracts import EEGBatch, Montage, SampleSpec

N_CHANNELS, N_TIMES, N_SUBJECTS = 3, 8, 4
SIZES = {"train": 40, "val": 22, "test": 22}  # in batches of 8, the last of 22 is a smaller one


def spec_of(n_classes):
    montage = Montage(("C3", "Cz", "C4"), np.zeros((N_CHANNELS, 3)))
    return SampleSpec(montage, (N_CHANNELS, N_TIMES), 8.0, tuple("abcdef"[:n_classes]))


class Backbone(nn.Module):
    """Dropout, linear, batch norm: noise, weights, and running statistics that move in train mode."""

    def __init__(self, width=16, dropout=0.3):
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(N_CHANNELS * N_TIMES, width), nn.BatchNorm1d(width)
        )

    def embed(self, x, coords):
        assert coords.shape == (N_CHANNELS, 3)
        return self.layers(x)


class Windows(Dataset):
    """Noise with a template of the class on top, one template a class. Asked for rows, it gives a batch, as a store."""

    def __init__(self, n, n_classes, seed, labels=None):
        generator = torch.Generator().manual_seed(seed)
        templates = 2 * torch.randn(
            n_classes, N_CHANNELS, N_TIMES, generator=torch.Generator().manual_seed(99)
        )
        self.label = torch.randint(n_classes, (n,), generator=generator) if labels is None else labels
        self.x = torch.randn(n, N_CHANNELS, N_TIMES, generator=generator) + templates[self.label]

    def __len__(self):
        return len(self.label)

    def __getitems__(self, rows):
        rows = torch.tensor(rows)
        return EEGBatch(
            x=self.x[rows],
            coords=torch.zeros(N_CHANNELS, 3),
            label=self.label[rows],
            subject=rows % N_SUBJECTS,
            key=[f"window{row}" for row in rows.tolist()],
        )


class Data(LightningDataModule):
    def __init__(self, n_classes=3, **splits):
        super().__init__()
        self.splits = {
            name: Windows(n, n_classes, seed=i) for i, (name, n) in enumerate(SIZES.items())
        } | splits
        self.n_classes = n_classes

    def loader(self, split):
        return DataLoader(self.splits[split], batch_size=8, collate_fn=lambda batch: batch)

    def train_dataloader(self):
        return self.loader("train")

    def val_dataloader(self):
        return self.loader("val")

    def test_dataloader(self):
        return self.loader("test")

    def predict_dataloader(self):
        return self.loader("test")

    def class_counts(self):
        return torch.bincount(self.splits["train"].label, minlength=self.n_classes)

    def train_inputs(self):
        yield from self.splits["train"].x.split(8)


def trainer(folder, **kwargs):
    """A quiet CPU trainer of three epochs that writes nothing; keyword arguments as for Lightning's."""
    defaults = dict(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return Trainer(**(defaults | kwargs))
