"""The laboratory's door: models that leave it, chosen, exported and promoted, and others' models that come in."""
