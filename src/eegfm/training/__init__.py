"""Train a run: fit, checkpoints, preemption, several processes, the record."""
