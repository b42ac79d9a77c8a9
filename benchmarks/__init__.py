"""Measurements that are run on demand, from a checkout of this repository."""
