"""What a run's folder holds and says: its files and their readers, intervals, reservations, the summary, W&B."""
