"""Models compared prompt by prompt."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tinyscale.grading.intervals import mean_interval
from tinyscale.spec import Comparison

PromptMeans = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By model, criterion and prompt."""


def compare(ranked: Sequence[str], means: PromptMeans, bootstraps: int, seed: int) -> tuple[Comparison, ...]:
    """Neighbours in the ranking, and the best with each other model, on every criterion that both have.

    An easy prompt is easy for both models, so the differences by prompt say more than two means side by side. Each
    interval is a 95 % one by itself: among twenty comparisons of equal models about one would not be called a tie.

    :param ranked: models, best first.
    """
    pairs = dict.fromkeys([*pairwise(ranked), *((ranked[0], other) for other in ranked[1:])] if ranked else ())
    found = (
        _pair(one, other, criterion, means, bootstraps, seed)
        for one, other in pairs
        for criterion in means[one]
        if criterion in means[other]
    )
    return tuple(comparison for comparison in found if comparison is not None)


def in_words(comparison: Comparison) -> str:
    """One line: who is better and by how much, or that no difference can be seen."""
    c, span = comparison, comparison.difference
    if c.tie:
        return (
            f"no difference in {c.criterion} between {c.better} and {c.worse}: the interval of {c.better} - {c.worse}, "
            f"{span.low:+.2f} to {span.high:+.2f}, holds 0"
        )
    return (
        f"{c.better} is better than {c.worse} in {c.criterion} by {span.value:.2f} ({span.low:.2f} to {span.high:.2f})"
    )


def _pair(one: str, other: str, criterion: str, means: PromptMeans, bootstraps: int, seed: int) -> Comparison | None:
    first, second = means[one][criterion], means[other][criterion]
    shared = sorted(first.keys() & second.keys())
    apart = {prompt: first[prompt] - second[prompt] for prompt in shared}
    if shared and sum(apart.values()) < 0:  # better overall, and worse in this
        one, other = other, one
        apart = {prompt: -difference for prompt, difference in apart.items()}
    span = mean_interval(apart, bootstraps, seed)
    if span is None:
        return None
    return Comparison(
        better=one,
        worse=other,
        criterion=criterion,
        difference=span,
        prompts=len(shared),
        tie=span.low <= 0 <= span.high,
    )
