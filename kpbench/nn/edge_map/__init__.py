"""The edge map of AutoLink: one function, a path of tiles for CPUs and Triton kernels for GPUs.

Only what draws or differentiates that map may enter.
"""
