"""The words of the project as frozen dataclasses: Study -> Plan -> Trial -> TrialResult -> LawFit."""

from tinyscale.spec.analysis import (
    Analysis,
    CountedLaw,
    IsoFlop,
    IsoFlops,
    RateCell,
    ShapeLaw,
    VocabularyLaw,
    VocabularyOptimum,
)
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
from tinyscale.spec.trial import Job, Line, ModelConfig, TrainConfig, Trial, short_count

__all__ = [
    "Analysis",
    "BuiltinCorpus",
    "Corpus",
    "CountedLaw",
    "FilesCorpus",
    "Forecast",
    "HubCorpus",
    "Interval",
    "IsoFlop",
    "IsoFlops",
    "Job",
    "LawFit",
    "Line",
    "ModelConfig",
    "Point",
    "RateCell",
    "Record",
    "ResolvedStudy",
    "ShapeLaw",
    "Study",
    "TokenizerSpec",
    "TrainConfig",
    "Trial",
    "TrialResult",
    "VocabularyLaw",
    "VocabularyOptimum",
    "canonical",
    "digest",
    "from_json",
    "read_json",
    "short_count",
    "to_json",
    "write_json",
]
