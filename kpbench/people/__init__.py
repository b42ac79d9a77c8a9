"""kpbench.people."""
