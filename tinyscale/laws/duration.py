"""How long a run would take on the hardware that finished trials have measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tinyscale.laws.select import params_of
from tinyscale.spec import Point, TrialResult, short_count

NEAR = 3.0
"""Models up to this factor larger or smaller tell the speed of one."""


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Time of training, evaluation and checkpoints left out, at the speed that like trials had."""

    hours: float
    basis: str
    """Trials, sizes and hardware that were measured."""


def expected_duration(done: Sequence[TrialResult], kind: str, params: float, tokens: float) -> Duration | None:
    """Time of a run of N parameters, of a kind, on so many tokens; None where no finished trial tells a speed.

    FLOP/s are what like models share, so a speed is scaled by the FLOPs a token, which grow as N.
    """
    measured = [(result, point) for result in done for point in result.points[-1:] if result.tokens_per_s > 0]
    if not measured:
        return None

    def distance(point: Point) -> float:
        return abs(math.log(params_of(point, kind) / params))

    nearest = min(distance(point) for _, point in measured)
    reach = max(math.log(NEAR), nearest * (1 + 1e-9))
    near = [(result, point) for result, point in measured if distance(point) <= reach]
    # One study may have run on several machines: the one with the most trials near this size speaks.
    machines = [(result.device, result.workers) for result, _ in near]
    device, workers = max(machines, key=machines.count)
    near = [(r, p) for r, p in near if (r.device, r.workers) == (device, workers)]
    speed = median(result.tokens_per_s * point.flops / point.tokens for result, point in near)
    flops_per_token = params * median(point.flops / point.tokens / params_of(point, kind) for _, point in near)
    sizes = sorted({params_of(point, kind) for _, point in near})
    span = " to ".join(short_count(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    basis = (
        f"{len(near)} finished trial(s) of {span} parameters on {device or 'an unnamed device'}, {workers} worker(s) "
        f"each, {speed:.3g} FLOP/s (median)"
    )
    if nearest > math.log(NEAR):
        basis += f"; none within a factor of {NEAR:g} of this size"
    return Duration(hours=tokens * flops_per_token / speed / 3600, basis=basis)
