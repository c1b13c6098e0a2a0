"""One trial: the loop, its two engines, its checkpoints. ``python -P -m tinyscale.train trial.json`` runs it bare."""
