"""The files of a run's folder, and their readers."""
