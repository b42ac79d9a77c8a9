"""Tai-Chi-HD: people doing Tai Chi in videos of all kinds."""
