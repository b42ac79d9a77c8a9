"""A paper's tables and figures as data, run through the same grid as all else, and their pages.

One module a study; what a study shares with a board lies in `kpbench.boards`.
"""
