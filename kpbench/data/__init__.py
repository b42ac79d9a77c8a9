"""Data sets that the user has: where they lie, how they are read, packed and checked.

Only what several data sets need may enter; what one alone needs lies with its protocols.
"""
