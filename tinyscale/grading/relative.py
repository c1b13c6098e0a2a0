"""The relative score of the paper's table: where a score lies between two models' (Eldan & Li 2023)."""

from collections.abc import Collection, Mapping, Sequence

from tinyscale.spec import ModelScore

FORMULA = "(score - worst) / (reference - worst)"


def relative(score: float, worst: float, reference: float) -> float:
    """0 at the worst anchor, 1 at the reference; below and above are possible.

    :raises ValueError: the anchors score the same.
    """
    if worst == reference:
        raise ValueError(f"the anchors of the relative score are equal, {worst:.2f}: {FORMULA} divides by zero")
    return (score - worst) / (reference - worst)


def check_anchors(worst: str, reference: str, models: Collection[str]) -> None:
    """Whether these two names can be anchors; neither named is fine too. Ask before the judge is paid.

    :raises ValueError: only one is named, both are the same, or no such model is graded.
    """
    if not worst and not reference:
        return
    if not worst or not reference:
        lacks = "worst" if not worst else "reference"
        raise ValueError(f"the relative score needs two anchors, and grading.{lacks} is empty: name both or neither")
    for key, name in (("worst", worst), ("reference", reference)):
        if name not in models:
            raise ValueError(f"grading.{key}: no graded model is named {name!r}; there are {', '.join(sorted(models))}")
    if worst == reference:
        raise ValueError(f"grading.worst and grading.reference are both {worst!r}: name two different models")


def relative_scores(
    scores: Sequence[ModelScore], worst: str, reference: str
) -> tuple[Mapping[str, Mapping[str, float]], tuple[str, ...]]:
    """Relative scores by model and criterion, and in words what can't be told of them.

    :raises ValueError: as :func:`check_anchors`.
    """
    known = {score.model: score for score in scores}
    check_anchors(worst, reference, known)
    if not worst:
        return {}, ()
    if without := [name for name in (worst, reference) if not known[name].means]:
        return {}, tuple(
            f"no relative score: its anchor {name} has no mean ({known[name].withheld})" for name in without
        )
    zero, one = known[worst].means, known[reference].means
    both = [name for name in one if name in zero]
    equal = [name for name in both if zero[name].value == one[name].value]
    found = {
        score.model: {
            name: relative(span.value, zero[name].value, one[name].value)
            for name, span in score.means.items()
            if name in both and name not in equal
        }
        for score in scores
    }
    notes = [f"no relative score of {name}: both anchors have {zero[name].value:.2f}" for name in equal]
    return found, tuple(notes)
