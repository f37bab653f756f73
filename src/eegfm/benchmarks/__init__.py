"""A benchmark is a corpus and its published protocol as facts, one file each; `spec.py` says what each must state."""
