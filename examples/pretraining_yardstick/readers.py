"""Readers of my own: a path -> names of channels, microvolts, rate in Hz."""

import gzip

import numpy as np


def uci(path):
    """One trial: after "#" lines a line a sample, "8 FP1 0 -3.855": trial, channel, sample, microvolts."""
    with gzip.open(path, "rt") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    names = list(dict.fromkeys(row[1] for row in rows))
    return names, np.array([float(row[3]) for row in rows]).reshape(len(names), -1), 256.0
