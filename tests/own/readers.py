"""Readers of my own: a path -> names of channels, microvolts, rate in Hz."""

import gzip
import io
import zipfile

import numpy as np


def uci(path):
    """One trial: after "#" lines a line a sample, "8 FP1 0 -3.855": trial, channel, sample, microvolts."""
    with gzip.open(path, "rt") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    names = list(dict.fromkeys(row[1] for row in rows))
    return names, np.array([float(row[3]) for row in rows]).reshape(len(names), -1), 256.0


def feis(path):
    """160 windows of one second: columns time, epoch, 14 channels and three texts."""
    with zipfile.ZipFile(path) as archive, archive.open("articulators.csv") as file:
        header = file.readline().decode().split(",")
        data = np.loadtxt(io.TextIOWrapper(file), delimiter=",", usecols=range(1, 16))
    epochs = [data[data[:, 0] == epoch, 1:].T for epoch in np.unique(data[:, 0])]
    return header[2:16], np.stack(epochs), 256.0
