"""What every method that is a network needs: `TorchMethod`, its batches, optimiser and fit loop.

Only what does not depend on the method may enter. Importing `loop` loads Lightning (seconds).
"""
