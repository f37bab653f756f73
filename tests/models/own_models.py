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


class Squeezes(Net):
    """Loses the axis of a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(0)


class Restless(Net):
    """Drops out in eval mode, too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5))


class Counts(Net):
    """Changes its state in eval mode."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + len(x)
        return super().forward(x)


class Outside(Net):
    """Keeps a part of itself in a plain tensor."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes)
        self.kept = {"scale": None}

    def forward(self, x: Tensor) -> Tensor:
        self.kept["scale"] = self.kept["scale"] or float(self.classify.weight.abs().sum())
        return super().forward(x) * self.kept["scale"]


class Dice(Net):
    """Draws from NumPy's generator while it trains."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (float(np.random.default_rng().uniform()) if self.training else 1.0)


class Tied(nn.Module):
    """Takes windows of one length."""

    def __init__(self, n_channels: int, n_classes: int, n_times: int) -> None:
        super().__init__()
        self.all = nn.Sequential(nn.Flatten(), nn.Linear(n_channels * n_times, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.all(x)
