"""The words of the project as frozen dataclasses: Study -> Plan -> Trial -> TrialResult -> LawFit."""

from tinyscale.spec.codec import canonical, digest, from_json, read_json, to_json, write_json
from tinyscale.spec.law import Forecast, Interval, LawFit
from tinyscale.spec.result import Point, Record, TrialResult
from tinyscale.spec.study import (
    BuiltinCorpus,
    Corpus,
    FilesCorpus,
    HubCorpus,
    ResolvedStudy,
    Study,
    TokenizerSpec,
)
from tinyscale.spec.trial import Job, ModelConfig, TrainConfig, Trial, short_count

__all__ = [
    "BuiltinCorpus",
    "Corpus",
    "FilesCorpus",
    "Forecast",
    "HubCorpus",
    "Interval",
    "Job",
    "LawFit",
    "ModelConfig",
    "Point",
    "Record",
    "ResolvedStudy",
    "Study",
    "TokenizerSpec",
    "TrainConfig",
    "Trial",
    "TrialResult",
    "canonical",
    "digest",
    "from_json",
    "read_json",
    "short_count",
    "to_json",
    "write_json",
]
