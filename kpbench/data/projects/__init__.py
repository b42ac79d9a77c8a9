"""A laboratory's labelled project as a protocol, whatever tool wrote it.

Only what reads a project, splits it, and makes a protocol of it may enter.
"""
