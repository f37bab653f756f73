"""Doors that are no part of a training: looking at data, checking, converting."""
