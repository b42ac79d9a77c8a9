"""What the command line does, one module a group of commands.

Only options and what is done with their values may enter; nothing heavy is imported before it runs.
"""
