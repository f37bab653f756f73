"""A search for good settings with Optuna."""
