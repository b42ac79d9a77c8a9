"""The pages below `leaderboards/`, each a pure function of the records."""
