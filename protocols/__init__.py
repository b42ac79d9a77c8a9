"""In-tree protocols: one module, one plugin. Start from `people_plain.py`."""
