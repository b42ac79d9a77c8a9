"""The pages below `leaderboards/`, each a pure function of the records.

One module a page, a section of one, or what several of them share.
"""
