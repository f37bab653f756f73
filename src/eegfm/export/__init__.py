"""Trained models taken elsewhere: exported folders, programs, the hub, `eegfm.load`."""
