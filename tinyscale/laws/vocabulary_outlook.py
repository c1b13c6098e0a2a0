"""What a study's law of the vocabulary says of a run with a given vocabulary."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from scipy.optimize import brentq

from tinyscale.laws.duration import Duration, expected_duration
from tinyscale.laws.outlook import check_asked, how_far
from tinyscale.laws.vocabulary_form import bytes_per_token, draws_of, predict_bpb
from tinyscale.laws.vocabulary_optimum import best_run, run_bpb, vocabularies_searched
from tinyscale.results.points import points_table
from tinyscale.spec import Analysis, Interval, Point, TrialResult, VocabularyLaw, VocabularyOptimum


@dataclass(frozen=True, kw_only=True)
class VocabularyOutlook:
    """A forecast for a run that is in no plan, from the law of the vocabulary: not locked, not stored."""

    vocab_size: int
    """V."""
    params: float
    """N, of the kind that the law L(N, D) counts."""
    params_non_vocab: float
    """N_nv."""
    tokens: float
    """D."""
    loss: Interval
    """What one such run will measure, in bits per byte."""
    split: VocabularyOptimum | None
    """The best split of the FLOPs at this vocabulary; None where N and D were given."""
    duration: Duration | None
    """None where no finished trial tells a speed."""
    exponents_hold: bool
    """The exponents may be stated; False: of N_nv and D only the ends of their intervals may be shown."""
    warnings: tuple[str, ...]


def look_at_vocabulary(
    analysis: Analysis,
    results: Iterable[TrialResult],
    *,
    kind: str,
    vocab_size: int,
    flops: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
) -> VocabularyOutlook:
    """Forecast a run with a vocabulary, of ``params`` and ``tokens`` or the best that ``flops`` buy with it.

    FLOPs are C = 6 (N_nv + V d) D here; where the output head is tied to the embedding, that is 6 N D.

    :param results: the study's.
    :param kind: which N ``params`` counts: total or non_embedding.
    :raises ValueError: there is no such law, or its forecasts are withheld, with the reasons; or the vocabulary is
        out of its range; or what is asked is wrong, as in :func:`tinyscale.laws.outlook.look_ahead`.
    """
    check_asked(flops=flops, params=params, tokens=tokens)
    law = _usable(analysis)
    low, high = vocabularies_searched(law)
    if not low <= vocab_size <= high:
        raise ValueError(
            f"--vocab is {vocab_size:,}; the law of the vocabulary was fitted on {law.vocab_range[0]:,} to "
            f"{law.vocab_range[1]:,} and speaks of {low:,.0f} to {high:,.0f}: add trials with that vocabulary"
        )
    done = [result for result in results if result.status == "done"]
    points = points_table({result.trial_id: result for result in done})
    fitted = [point for point in points if point.trial_id in law.trial_ids]
    if not fitted:
        raise ValueError("the trials that the law of the vocabulary was fitted on are gone: launch the study again")
    # How often V d is counted in the embeddings: once where the head is tied, else twice; learned positions add some.
    copies = median((p.params_total - p.params_non_embedding) / (p.vocab_size * p.hidden_size) for p in fitted)
    embedded = vocab_size * copies
    split = None
    if flops is not None:
        sizes = [float(point.params_non_embedding) for point in fitted]
        split = best_run(law, flops, params_fitted=(min(sizes), max(sizes)), vocab_size=vocab_size)
        n, tokens = split.params_non_vocab.value, split.tokens.value
    else:
        assert params is not None
        n = params if kind == "non_embedding" else _without_embeddings(law, params, embedded)
    assert tokens is not None
    total = n + embedded * _width(law, n)
    return VocabularyOutlook(
        vocab_size=vocab_size,
        params=n if kind == "non_embedding" else total,
        params_non_vocab=n,
        tokens=tokens,
        loss=split.bpb if split else _loss(law, n, vocab_size, tokens),
        split=split,
        duration=expected_duration(done, "total", total, tokens),
        exponents_hold=not law.warnings,
        warnings=(*law.warnings, *_far(law, fitted, n, vocab_size, tokens)),
    )


def _usable(analysis: Analysis) -> VocabularyLaw:
    law = analysis.vocabulary
    if law is None:
        reason = analysis.vocabulary_refused or "it was never fitted: fit the study again (`tinyscale fit STUDY`)"
        raise ValueError(f"this study has no law of the vocabulary, so --vocab cannot be answered: {reason}")
    if not law.forecast_holds:
        lines = [f"  {warning}" for warning in law.warnings]
        raise ValueError("\n".join(["the law of the vocabulary forecasts nothing:", *lines]))
    return law


def _width(law: VocabularyLaw, params_non_vocab: float) -> float:
    return math.exp(law.width[0] + law.width[1] * math.log(params_non_vocab))


def _without_embeddings(law: VocabularyLaw, total: float, embedded: float) -> float:
    """N_nv of a model of so many parameters in all, its width following from N_nv; ``embedded`` parameters a width."""

    def excess(log_n: float) -> float:
        return math.exp(log_n) + embedded * _width(law, math.exp(log_n)) - total

    if excess(0.0) >= 0:
        raise ValueError(f"{total:g} parameters are less than the embeddings of this vocabulary alone: ask for more")
    return math.exp(brentq(excess, 0.0, math.log(total)))


def _loss(law: VocabularyLaw, n: float, vocab_size: int, tokens: float) -> Interval:
    text_bytes = tokens * bytes_per_token(law.bytes_per_token, math.log(vocab_size))
    return run_bpb(predict_bpb(draws_of(law), n, vocab_size * _width(law, n), text_bytes)[:, 0], law)


def _far(law: VocabularyLaw, fitted: Sequence[Point], n: float, vocab_size: int, tokens: float) -> Iterator[str]:
    low, high = law.vocab_range
    if not low <= vocab_size <= high:
        yield f"V = {vocab_size:,} lies outside of the vocabularies fitted, {low:,} to {high:,}"
    largest = max(6.0 * (p.params_non_embedding + p.vocab_size * p.hidden_size) * p.tokens for p in fitted)
    axes = (
        ("N_nv", n, [float(point.params_non_embedding) for point in fitted]),
        ("D", tokens, [float(point.tokens) for point in fitted]),
    )
    yield from how_far("6 (N_nv + V d) D", 6 * (n + vocab_size * _width(law, n)) * tokens, largest, axes)
