"""Whether the judge pays for length: the slope of the scores over the logarithm of the words."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tinyscale.grading.intervals import by_prompt, ratio_interval
from tinyscale.spec import Comparison, Grade, Interval

NOTABLE = 0.25
"""Points for a doubling of the words that are worth a warning."""
LARGE_SHARE = 0.5
"""Of a difference between two models."""


def length_slope(scored: Iterable[tuple[Grade, float]], bootstraps: int, seed: int) -> Interval | None:
    """Points that a doubling of the words brings, among stories of one model and one prompt (fixed effects).

    Between models and between prompts length goes with much else; within them the longer story is the same model's
    other try. A slope is still no proof of bias: an ending that is missing makes a story shorter and worse.

    :param scored: grades with a score each.
    :returns: least squares with a 95 % interval by bootstrap over prompts; None where no two lengths can be compared.
    """
    groups: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for grade, score in scored:
        if grade.words > 0:
            groups[grade.prompt_id][grade.model].append((math.log2(grade.words), score))
    return ratio_interval([_sums(groups[prompt].values()) for prompt in sorted(groups)], bootstraps, seed)


def explained(comparison: Comparison, slope: Interval, grades: Sequence[Grade]) -> float | None:
    """Points of the difference between two models that their lengths alone would bring; None where lengths are
    unknown."""
    lengths = [
        by_prompt((g.prompt_id, math.log2(g.words)) for g in grades if g.model == model and g.words > 0)
        for model in (comparison.better, comparison.worse)
    ]
    shared = lengths[0].keys() & lengths[1].keys()
    if not shared:
        return None
    return slope.value * sum(lengths[0][prompt] - lengths[1][prompt] for prompt in shared) / len(shared)


def length_warnings(
    slopes: Mapping[str, Interval], comparisons: Iterable[Comparison], grades: Sequence[Grade]
) -> list[str]:
    """What length may have to do with the scores, in words."""
    said = []
    for criterion, slope in slopes.items():
        if slope.low > 0 and slope.value >= NOTABLE and criterion != "overall":
            said.append(
                f"longer stories score higher in {criterion}: a doubling of the words brings {slope.value:+.2f} points "
                f"({slope.low:+.2f} to {slope.high:+.2f}) among stories of one model and prompt"
            )
    overall = slopes.get("overall")
    for comparison in comparisons:
        if comparison.criterion != "overall" or comparison.tie or overall is None or overall.low <= 0:
            continue
        share = explained(comparison, overall, grades)
        if share is not None and share >= LARGE_SHARE * comparison.difference.value:
            said.append(
                f"of the {comparison.difference.value:.2f} points between {comparison.better} and {comparison.worse}, "
                f"{share:.2f} are what their stories' lengths alone would bring"
            )
    return said


def _sums(groups: Iterable[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """Sums of (x - mean x)(y - mean y) and (x - mean x)^2 over the groups, each with means of its own."""
    top = bottom = 0.0
    for group in groups:
        x_mean, y_mean = (sum(column) / len(group) for column in zip(*group, strict=True))
        top += sum((x - x_mean) * (y - y_mean) for x, y in group)
        bottom += sum((x - x_mean) ** 2 for x, _ in group)
    return top, bottom
