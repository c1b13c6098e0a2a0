"""Models in others' formats, and the proof that they compute the same there."""
