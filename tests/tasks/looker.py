"""A backbone that maps places: a spatial embedding, some filters, their log power. Sees a rhythm, and where it is."""

import torch
from torch import nn

from eegfm.contracts import Montage, SampleSpec
from eegfm.nn.spatial import Spatial
from eegfm.signal.montage import layout

PLACES = ("Fz", "C3", "Cz", "C4", "Pz", "Oz", "T7", "T8")


def eight() -> Montage:
    """Eight places of the 10-20 system."""
    every = layout("distinct")
    rows = [every.names.index(name) for name in PLACES]
    return Montage(PLACES, every.coords[rows])


class Looker(nn.Module):
    """`learned` multiplies the embedding's network at the start, which is small."""

    def __init__(
        self, spec: SampleSpec, *, width: int = 8, start: str = "local", learned: float = 1.0
    ) -> None:
        super().__init__()
        self.targets, self.width = eight(), width
        self.spatial = Spatial(torch.tensor(self.targets.coords), start=start)
        self.spatial.net[-1].weight.data *= learned
        self.filters = nn.Conv1d(len(PLACES), width, 21)
        self.noise = nn.Dropout(0.1)
        self.out = nn.Conv1d(len(PLACES), len(PLACES), 1)

    def spatial_weights(self, coords):
        return self.spatial.weights(coords)

    def embed(self, x, coords):
        h = self.filters(self.noise(self.spatial(x / 20, coords)))
        return h.square().mean(-1).add(1e-3).log()

    def forward(self, x, coords):
        return self.spatial.between(self.spatial.targets, coords) @ self.out(self.spatial(x, coords))
