"""Videos: frames read as they are shown, written with a drawing, and tables of what is in them.

Only what treats a video one frame after another, in the same memory for any length, may enter.
"""
