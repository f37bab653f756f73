"""Models. Backbones: one paper, one file. Models that are fitted in one go share `classical.py`."""
