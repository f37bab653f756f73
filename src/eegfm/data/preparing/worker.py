"""Import what a preparing process needs, once for all: MNE and SciPy load their parts only when first used."""

import mne
import scipy

import eegfm.data.preparing.making  # noqa: F401

LOADED = (mne.filter.resample, mne.filter.filter_data, mne.io.read_raw_edf, scipy.signal.resample)
