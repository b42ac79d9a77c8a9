"""How far a number may be trusted: resampled images, seeds, paired differences.

No score is computed here; only what says how uncertain one is may enter.
"""
