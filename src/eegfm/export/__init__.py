"""Take trained models elsewhere: exported folders, programs, the hub, `eegfm.load`."""
