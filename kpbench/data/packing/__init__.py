"""Images of a data set decoded once and kept in a file that is read through a memory map.

Only what writes or opens such files may enter.
"""
