"""In-tree data sets, one folder each, and their protocols, one module each.

Start from `deepfashion`: `DATASET` in its `__init__`, its reader, its protocol.
"""
