"""Backbones: one paper, one file."""
