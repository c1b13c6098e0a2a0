import random
from dataclasses import replace
from functools import cache

import pytest

from tinyscale.grading.copies import find_copies
from tinyscale.grading.measures import alikeness, distinct, judge_free, rouge_l, tokens
from tinyscale.spec import Story
from tinyscale.spec.grading import StopReason


def story(prompt_id: str, sample: int, completion: str, stop: StopReason = "end") -> Story:
    return Story(
        model="m",
        model_digest="d",
        prompt_id=prompt_id,
        prompt="One day",
        completion=completion,
        sample=sample,
        stop=stop,
    )


def test_rouge_l_equals_the_definition() -> None:
    """Against the recursion of the longest common subsequence, on texts longer than a machine word."""
    rng = random.Random(0)
    for _ in range(60):
        a, b = (rng.choices("abcdefgh"[: rng.randint(1, 8)], k=rng.randint(1, 90)) for _ in range(2))

        @cache
        def common(i: int, j: int, a: tuple[str, ...] = tuple(a), b: tuple[str, ...] = tuple(b)) -> int:
            if not i or not j:
                return 0
            return common(i - 1, j - 1) + 1 if a[i - 1] == b[j - 1] else max(common(i - 1, j), common(i, j - 1))

        recall, precision = common(len(a), len(b)) / len(a), common(len(a), len(b)) / len(b)
        expected = 2 * recall * precision / (recall + precision) if recall else 0.0
        assert rouge_l(a, b) == pytest.approx(expected, abs=1e-12)
        assert rouge_l(b, a) == rouge_l(a, b)


def test_rouge_l_of_lins_example() -> None:
    """Of section 3.1: the second shares "police the gunman" with the first, the third "the gunman"."""
    first, second, third = (
        tokens(text) for text in ("police killed the gunman", "police kill the gunman", "the gunman kill police")
    )
    assert (rouge_l(first, second), rouge_l(first, third)) == (0.75, 0.5)
    assert rouge_l(first, first) == 1
    assert rouge_l(first, []) == rouge_l([], []) == 0


def test_distinct_counts_ngrams_within_texts() -> None:
    texts = [["a", "b", "a"], ["a", "b"]]
    assert distinct(texts, 1) == 2 / 5
    assert distinct(texts, 2) == 2 / 3
    assert distinct(texts, 3) == 1
    assert distinct([["a"]], 2) == 0


def test_words_are_letters_and_digits() -> None:
    assert tokens("Don't  STOP, 3_cats “Bär”!") == ["don", "t", "stop", "3", "cats", "bär"]


def test_only_texts_of_one_prompt_are_compared() -> None:
    assert alikeness([[["a"], ["a"], ["b"]], [["a"], ["b"]], [["a"]]]) == pytest.approx((1 / 3 + 0) / 2)
    assert alikeness([[["a"]]]) == 0


def test_the_measures_of_a_model() -> None:
    run = "she took the red ball and ran to the big tree by the little house on the hill"
    stories = [
        story("a", 0, f" {run}.", stop="end"),
        story("a", 1, " a dog sat", stop="length"),
        story("b", 0, " A dog sat!", stop="end"),
        story("b", 1, "", stop="end"),
    ]
    others = [replace(stories[0], model="other", sample=5), replace(stories[0], kind="shuffled", completion="x y z")]
    measured = judge_free("m", [*stories, *others])
    assert (measured.model, measured.stories, measured.finished) == ("m", 4, 0.75)
    assert measured.mean_words == (18 + 3 + 3) / 4
    assert measured.distinct["1"] == 18 / 24
    assert measured.rouge_l == 0
    assert (measured.longest_copy, measured.longest_copy_max, measured.contaminated_prompts) == (None, None, ())

    copies = find_copies(stories, [f"One day {run} again. A dog barked."])
    measured = judge_free("m", stories, copies)
    assert (measured.longest_copy, measured.longest_copy_max, measured.copied) == ((17 + 2 + 2 + 0) / 4, 17, 1)
    assert measured.contaminated_prompts == ()


def test_a_model_without_stories_is_named() -> None:
    with pytest.raises(ValueError, match="no story of 'n'; there are stories of m"):
        judge_free("n", [story("a", 0, "x")])
