"""What plugins and kpbench exchange: images, labels, keypoints, promises; `kpbench.api` offers it.

Only what a plugin author has to know may enter.
"""
