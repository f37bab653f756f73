"""Figures, pages and tables as pictures and text; nothing here knows where its numbers come from."""
