"""From keypoints and annotation to numbers: regression, flips, metrics, the evaluator, statistics.

Only what takes part in a number may enter; no image, no network.
"""
