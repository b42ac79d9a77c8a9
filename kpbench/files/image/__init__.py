"""Image files: how each becomes 8-bit RGB, how large it is, which of a folder are meant.

Only what reads image files by the one rule of `reading`, whoever they belong to, may enter.
"""
