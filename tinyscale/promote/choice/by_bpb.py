"""The best model by bits per byte on all of the validation text, with seed noise as the yardstick."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyscale.promote.choice.field import Field, full_bpb, named
from tinyscale.promote.choice.luck import Luck, mean_log, percent
from tinyscale.promote.choice.more_seeds import more_seeds
from tinyscale.spec import Candidate, Choice


@dataclass(frozen=True)
class Lead:
    """Of the best trial's kind over another kind: between the means of their runs, in log bits per byte."""

    runs: int
    """Of the best trial's kind."""
    rivals: tuple[Candidate, ...]
    """All runs of the other kind, best first."""
    lead: float
    needed: float

    @property
    def beyond_luck(self) -> bool:
        """More than seeds explain."""
        return self.lead > self.needed


def choose_by_bpb(field: Field, finalists: int) -> Choice:
    """Rank on the slice, measure the finalists on everything, rank those.

    Finalists are the best ``finalists`` trials on the slice, the best kind's first rival and every kind whose lag there
    luck may explain. They are measured by whole kinds, all seeds, so that means can be compared.
    """
    luck, everyone = field.luck(), field.candidates()
    kinds = field.by_kind(everyone)
    near = _leads(kinds, everyone[0], {c.trial_id: c.slice_bpb for c in everyone}, luck)
    wanted = {field.kind(c) for c in everyone[:finalists]} | {*list(kinds)[:2]}
    wanted |= {field.kind(lead.rivals[0]) for lead in near if not lead.beyond_luck}
    ranked = field.validated(c for c in everyone if field.kind(c) in wanted)
    best, own = ranked[0], [c for c in ranked if field.kind(c) == field.kind(ranked[0])]
    leads = _leads(field.by_kind(ranked), best, {c.trial_id: full_bpb(c) for c in ranked}, luck)
    tied = {c.trial_id for lead in leads if not lead.beyond_luck for c in lead.rivals}
    ties = [c for c in ranked if c.trial_id in tied]
    closest = min(leads, key=lambda lead: lead.lead / lead.needed, default=None)
    measured = {c.trial_id for c in ranked}
    return Choice(
        study=field.study.name,
        by="bpb",
        candidates=(*ranked, *(c for c in everyone if c.trial_id not in measured)),
        best=best.trial_id,
        ties=tuple(c.trial_id for c in ties),
        lead=closest.lead if closest else None,
        needed=closest.needed if closest else None,
        yardstick=luck.said,
        refused=field.refused,
        said=" ".join((_verdict(best, closest, ties, luck), *_seeds(own), *_advice(field, own, closest))),
    )


def _leads(
    kinds: Mapping[str, Sequence[Candidate]], best: Candidate, bpb: Mapping[str, float], luck: Luck
) -> list[Lead]:
    """Over each other kind."""
    own = next(runs for runs in kinds.values() if best in runs)
    mean = mean_log(bpb[c.trial_id] for c in own)
    return [
        Lead(
            runs=len(own),
            rivals=tuple(runs),
            lead=mean_log(bpb[c.trial_id] for c in runs) - mean,
            needed=luck.needed(len(own), len(runs)),
        )
        for runs in kinds.values()
        if runs is not own
    ]


def _verdict(best: Candidate, closest: Lead | None, ties: Sequence[Candidate], luck: Luck) -> str:
    assert best.validation
    span = best.validation.bpb
    measured = f"{span.value:.4f} bpb ({span.low:.4f} to {span.high:.4f})"
    if closest is None:
        return f"{best.name} is best at {measured}; there is no trial of another kind to compare it with."
    explained = f"seeds explain up to {percent(closest.needed)} ({luck.said})"
    if closest.beyond_luck:
        return f"{best.name} is best at {measured}; {_led(closest)}, and {explained}."
    tie = f"{best.name} comes first at {measured}, but that is a tie with {named(ties)}"
    return f"{tie}: {_led(closest)}, and {explained}."


def _led(lead: Lead) -> str:
    """``it leads A by 0.40 %``, of means where a kind has several runs."""
    rival, by = lead.rivals[0].name, percent(abs(lead.lead))
    word = "leads" if lead.lead >= 0 else "is behind"
    if lead.runs == len(lead.rivals) == 1:
        return f"it {word} {rival} by {by}"
    return f"the mean of its {_count(lead.runs)} {word} that of {rival}'s {_count(len(lead.rivals))} by {by}"


def _count(runs: int) -> str:
    return f"{runs} seeds" if runs > 1 else "one seed"


def _seeds(own: Sequence[Candidate]) -> list[str]:
    """The other seeds of the best one."""
    others = [f"{c.name} ({full_bpb(c):.4f})" for c in own[1:]]
    return [f"Of the same kind, so no rivals: {', '.join(others)}."] if others else []


def _advice(field: Field, own: Sequence[Candidate], closest: Lead | None) -> list[str]:
    if closest is None or closest.beyond_luck:
        return []
    rows = [
        more_seeds(field.study, [field.trials[c.trial_id] for c in runs], closest.lead, closest.needed)
        for runs in (own, closest.rivals)
    ]
    return [
        f"To tell them apart, train more seeds of both: add {' and '.join(rows)} to the study's YAML and launch it "
        "again; or promote it all the same with --force."
    ]
