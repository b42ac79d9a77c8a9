"""Is a data set what was published? Counts, files, labels, duplicates, identities: one report.

A check reads; it mends nothing.
"""
