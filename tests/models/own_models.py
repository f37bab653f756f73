"""Models as a person writes them: twenty lines of torch, a pipeline of scikit-learn, and faulty ones."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import Tensor, nn


class Net(nn.Module):
    """A convolution over time, one over channels, the log power, and a linear layer."""

    def __init__(self, n_channels: int, n_classes: int, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.time = nn.Conv1d(n_channels, width, 25, padding="same", bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        power = self.norm(self.time(x)).square().mean(-1)
        return self.classify(self.dropout(torch.log(power + 1e-6)))


class Features(nn.Module):
    """Gives no logits, and reads the places of the channels."""

    def __init__(self, positions: Tensor, sfreq: float) -> None:
        super().__init__()
        self.mix = nn.Linear(len(positions), 6)
        self.sfreq = sfreq

    def forward(self, x: Tensor, coords: Tensor) -> Tensor:
        height = coords[:, 2].nan_to_num() * 10
        return torch.log1p(self.mix((x * height[:, None]).movedim(1, 2)).square().mean(1))


class Mixes(Net):
    """Takes its batch-mates into account, as a norm over the batch in use does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0, keepdim=True))


class Idle(Net):
    """Has a layer that nothing uses."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes)
        self.forgotten = nn.Linear(3, 3)


class Three(nn.Module):
    """Was told the number of classes, and gives another."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(n_channels, n_classes + 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.mean(-1))


def log_power(x: np.ndarray) -> np.ndarray:
    return np.log(np.square(x).mean(-1) + 1e-6)


def make_classifier(strength: float = 1.0) -> Pipeline:
    """Logistic regression on the log power of each channel."""
    return make_pipeline(
        FunctionTransformer(log_power), StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
    )
