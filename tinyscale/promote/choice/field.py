"""The field of candidates: the finished models of a study, and what is known and measured of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinyscale.data.corpus import CorpusFiles
from tinyscale.promote.choice.luck import Luck, kind_of, seed_luck
from tinyscale.promote.validate import trial_validation
from tinyscale.results.storage import fetch_trial
from tinyscale.results.store import StudyStore
from tinyscale.spec import Candidate, Study, Trial, TrialResult

NAMED = 3
"""Models named in a sentence; of others, how many."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """The trials of a study that may be promoted."""

    store: StudyStore
    study: Study
    corpus: CorpusFiles
    trials: Mapping[str, Trial]
    """By id."""
    results: Mapping[str, TrialResult]
    """By id, of the same trials."""
    refused: Mapping[str, str]
    """The other trials, by id, with the reason."""
    say: Callable[[str], None]

    def candidates(self) -> list[Candidate]:
        """What is known of them without loading a model, best on the validation slice first."""
        found = [_candidate(trial, self.results[trial_id]) for trial_id, trial in self.trials.items()]
        return sorted(found, key=lambda candidate: (candidate.slice_bpb, candidate.params_total, candidate.trial_id))

    def kind(self, candidate: Candidate) -> str:
        """What it is but for its seed."""
        return kind_of(self.trials[candidate.trial_id])

    def by_kind(self, candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
        """The candidates of each kind, kinds and candidates in the order given."""
        kinds: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            kinds.setdefault(self.kind(candidate), []).append(candidate)
        return kinds

    def bytes_per_token(self, candidate: Candidate) -> float:
        """UTF-8 bytes of training text in one token of its vocabulary."""
        point = self.results[candidate.trial_id].points[-1]
        return point.text_bytes / point.tokens

    def luck(self) -> Luck:
        """The seed noise, on the validation slice, which all of them were measured on."""
        candidates = self.candidates()
        return seed_luck([c.slice_bpb for c in candidates], [self.kind(c) for c in candidates])

    def validated(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Measured on all of the validation text, best first.

        :raises ObjectStoreError: the models lie in an object store that is away.
        """
        chosen = list(candidates)
        self.say(f"{len(chosen)} model(s) on all {self.corpus.valid_bytes / 1e6:.1f} MB of validation text")
        measured = [
            replace(c, validation=trial_validation(self.store.trial(c.trial_id), self.corpus, progress=self.say))
            for c in chosen
        ]
        return sorted(measured, key=full_bpb)

    def fetched_model(self, candidate: Candidate) -> Path:
        """Folder of the model, on this machine.

        :raises ObjectStoreError: as :meth:`validated`.
        """
        folder = self.store.trial(candidate.trial_id)
        fetch_trial(folder, "model")
        return folder.model


def full_bpb(candidate: Candidate) -> float:
    """Bits per byte on all of the validation text, of one that was measured on it."""
    assert candidate.validation
    return candidate.validation.bpb.value


def named(candidates: Sequence[Candidate]) -> str:
    """The first few by name, the others by number: ``a, b and 4 more``."""
    names = [candidate.name for candidate in candidates[:NAMED]]
    if len(candidates) > NAMED:
        names.append(f"{len(candidates) - NAMED} more")
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _candidate(trial: Trial, result: TrialResult) -> Candidate:
    """Of a trunk, the last point: the model that is kept is that of the largest budget."""
    point = result.points[-1]
    return Candidate(
        trial_id=trial.id,
        name=trial.name,
        hidden_size=point.hidden_size,
        num_layers=point.num_layers,
        vocab_size=point.vocab_size,
        params_total=point.params_total,
        tokens=point.tokens,
        slice_bpb=point.bpb,
    )
