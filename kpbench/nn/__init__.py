"""kpbench.nn."""
