"""Where plugins are found, without importing any of them, and how the module of one is imported.

Only what reads entry points, folders, sources and descriptions may enter, and what
`kpbench.registry` loads with.
"""
