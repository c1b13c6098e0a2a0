"""The journal's projection into MLflow: the only room that imports mlflow, and it does so late (seconds)."""

from tinyscale.tracking.origin import Origin, find_origin, note_origin, read_origins
from tinyscale.tracking.projector import Projector
from tinyscale.tracking.runs import Table
from tinyscale.tracking.uri import mask, resolve_uri, ui_command

__all__ = [
    "Origin",
    "Projector",
    "Table",
    "find_origin",
    "mask",
    "note_origin",
    "read_origins",
    "resolve_uri",
    "ui_command",
]
