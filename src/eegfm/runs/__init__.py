"""What a run's folder holds, and how it is read."""
