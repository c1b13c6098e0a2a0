"""What a study's points say beside its law L(N, D)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tinyscale.laws.counting import fit_countings
from tinyscale.laws.isoflop import fit_isoflops
from tinyscale.laws.rates import rate_cells
from tinyscale.laws.select import fitted_points
from tinyscale.laws.shape import fit_shape
from tinyscale.laws.vocabulary import fit_vocabulary
from tinyscale.spec import Analysis, LawFit, Point, Trial
from tinyscale.spec.study import LawOptions

T = TypeVar("T")


def analyse(points: Sequence[Point], law: LawFit, options: LawOptions, *, pruned: Sequence[Trial] = ()) -> Analysis:
    """Counts of N, shapes, equal compute, vocabularies and learning rates; hold-outs are never looked at.

    Each part stands alone: where the points cannot carry one, it is None and the reason stands beside it. Shapes,
    counts and equal compute see the points that the law saw; vocabularies and learning rates all that are open.

    :param points: of the whole study, as they went to the law.
    :param law: fitted on some of them with these options.
    :param pruned: trials that were stopped early, and have no points.
    """
    fitted, draws = fitted_points(law, points), options.bootstraps
    counting, counting_refused = _part(lambda: fit_countings(fitted, law, bootstraps=draws))
    shape, shape_refused = _part(lambda: fit_shape(fitted, law, bootstraps=draws))
    isoflops, isoflops_refused = _part(lambda: fit_isoflops(fitted, law, draws=draws))
    vocabulary, vocabulary_refused = _part(lambda: fit_vocabulary(points, bootstraps=draws))
    return Analysis(
        counting=counting or (),
        counting_refused=counting_refused,
        shape=shape,
        shape_refused=shape_refused,
        isoflops=isoflops,
        isoflops_refused=isoflops_refused,
        vocabulary=vocabulary,
        vocabulary_refused=vocabulary_refused,
        rates=rate_cells(points, pruned),
    )


def _part(fit: Callable[[], T]) -> tuple[T | None, str]:
    """What a fit yields, or why it refuses."""
    try:
        return fit(), ""
    except ValueError as error:
        return None, str(error)
