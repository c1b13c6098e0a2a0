"""The journal's projection into MLflow: the only room that imports mlflow, and it does so late (seconds)."""

from tinyscale.tracking.projector import Projector
from tinyscale.tracking.uri import mask, resolve_uri, ui_command

__all__ = ["Projector", "mask", "resolve_uri", "ui_command"]
