"""From records to tables, plots and pictures.

Pure functions of what is on disk; nothing is trained here.
"""
