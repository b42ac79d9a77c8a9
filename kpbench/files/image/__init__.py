"""Image files: how each becomes 8-bit RGB, how large it is, which of a folder are meant; tables.

Only what reads image files by the one rule of `reading`, or writes what was found in them, may
enter.
"""
