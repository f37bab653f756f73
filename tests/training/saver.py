"""A program that writes one checkpoint again and again, and says each time which it has written."""

import itertools
import sys
from pathlib import Path

import torch

from eegfm.training.checkpoints import WholeCheckpoints

if __name__ == "__main__":
    for n in itertools.count():
        WholeCheckpoints().save_checkpoint({"n": n, "x": torch.full((20_000,), n)}, Path(sys.argv[1]))
        print(n, flush=True)
