"""The card of a promoted model, and the files of its repository: every number from a stored result."""
