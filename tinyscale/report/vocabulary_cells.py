"""Runs that differ in the vocabulary: of one shape, after equal text or equal tokens."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tinyscale.spec import Point, short_count
from tinyscale.spec.words import size

ONE_TEXT = 0.03
"""Text that differs by less counts as equal: budgets are rounded to steps, which hold more or less of it."""


@dataclass(frozen=True, kw_only=True)
class VocabularyCell:
    """The best run of each vocabulary at one shape and budget."""

    hidden_size: int
    num_layers: int
    budget: float
    """Bytes of text, or tokens."""
    of_text: bool
    """Whether the budget is text."""
    points: Mapping[int, Point]
    """By vocabulary, ascending; at least two."""

    @property
    def said(self) -> str:
        """The budget in words: ``8 MB of text``, ``2M tokens``."""
        return f"{size(self.budget)} of text" if self.of_text else f"{short_count(round(self.budget))} tokens"


def vocabulary_cells(points: Iterable[Point]) -> list[VocabularyCell]:
    """Every cell of two vocabularies or more, by shape and budget. Of cells with the same runs, the one of text."""
    shapes: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in points:
        shapes[point.hidden_size, point.num_layers].append(point)
    cells: list[VocabularyCell] = []
    for (hidden, layers), mine in sorted(shapes.items()):
        groups = [(True, group) for group in _equal_text(mine)] + [(False, group) for group in _equal_tokens(mine)]
        found: dict[frozenset[Point], VocabularyCell] = {}
        for of_text, group in groups:
            best = {p.vocab_size: p for p in sorted(group, key=lambda p: p.bpb, reverse=True)}
            if len(best) > 1:
                found.setdefault(
                    frozenset(best.values()),
                    VocabularyCell(
                        hidden_size=hidden,
                        num_layers=layers,
                        budget=group[0].text_bytes if of_text else group[0].tokens,
                        of_text=of_text,
                        points=dict(sorted(best.items())),
                    ),
                )
        cells += [cell for runs, cell in found.items() if not any(runs < other for other in found)]
    return cells


def _equal_text(points: Iterable[Point]) -> Iterator[list[Point]]:
    group: list[Point] = []
    for point in sorted(points, key=lambda p: p.text_bytes):
        if group and point.text_bytes > (1 + ONE_TEXT) * group[0].text_bytes:
            yield group
            group = []
        group.append(point)
    yield group


def _equal_tokens(points: Iterable[Point]) -> Iterable[list[Point]]:
    groups: dict[int, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda p: p.tokens):
        groups[point.tokens].append(point)
    return groups.values()
