"""Measurements of speed that are run on demand, from a checkout of this repository."""
