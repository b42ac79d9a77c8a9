"""The people themselves: shape, skeleton, poses and motion.

In metres, and free of any image.
"""
