"""What the tests of Eegm2 share: specs of raw windows, and coordinates that do not matter."""

import numpy as np
import torch

from eegfm.contracts import Montage, SampleSpec

COORDS = torch.zeros(64, 3)


def raw_spec(n_channels: int, n_times: int) -> SampleSpec:
    montage = Montage(tuple(f"E{i}" for i in range(n_channels)), np.zeros((n_channels, 3)))
    return SampleSpec(montage, (n_channels, n_times), 128.0, ("rest", "task"))
