"""Objectives (classify, reconstruct, forecast, probe), models that are fitted in one go, and how all are scored."""
