"""Data sets that the user has: what they are, where they lie, how they are read, packed, checked.

What is particular to one data set stays in its folder of protocols; here is what all share.
"""
