"""eegfm: pre-train, adapt and honestly compare EEG foundation models."""

__version__ = "0.1.0"
