"""The fit loop that methods use. Importing `kpbench.training.loop` loads Lightning (seconds)."""
