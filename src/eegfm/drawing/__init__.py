"""Draws figures, pages and tables as pictures and text, without knowing where their numbers come from."""
