"""Where plugins are found, without importing any of them.

Only what reads entry points, folders and sources may enter; loading is `kpbench.registry`'s.
"""
