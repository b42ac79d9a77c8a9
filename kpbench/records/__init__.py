"""What is kept of a run: one JSON a result, checkpoints, shipped weights, published numbers.

Only what is read again later may enter; nothing here runs anything.
"""
