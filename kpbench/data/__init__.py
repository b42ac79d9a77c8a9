"""Data sets that the user has: where they lie, how they are read, packed and checked."""
