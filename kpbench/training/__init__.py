"""kpbench.training."""
