"""A study on disk: its files, its journals, its table of points."""
