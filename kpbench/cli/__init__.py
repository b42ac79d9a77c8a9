"""The command line: arguments, commands and what they print.

Thin: what decides anything lies below.
"""
