"""What is optimised and how it is scored: the only floor that knows Lightning's module."""
