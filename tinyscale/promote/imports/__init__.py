"""Models that were trained elsewhere: read with suspicion, kept like our own."""
