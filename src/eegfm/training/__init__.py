"""What makes a run: fit, checkpoints, preemption, several processes, the record."""
