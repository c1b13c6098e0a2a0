"""From a study to its trials, and what they will cost."""
