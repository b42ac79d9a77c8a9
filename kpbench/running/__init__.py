"""From a plan to records: plan, resolve, execute, and where that happens.

Only what decides what runs, or runs it, may enter.
"""
