"""Which model of a study is best, whether that is certain, and which may leave at all."""
