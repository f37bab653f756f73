"""A trained model on anybody's recordings: what `eegfm predict` and `eegfm embed` do."""
