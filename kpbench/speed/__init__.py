"""How fast and how large: images a second, steps, memory, share of a measured peak.

Speed never enters a score.
"""
