"""The judge's own test: stories of known quality."""

import re

import pytest

from tinyscale.data.stories import generate_stories
from tinyscale.grading.calibrate import calibration_stories

TEXTS = [item.text for item in generate_stories(11, 60)]


def sentences(text: str) -> list[str]:
    return [item.strip() for item in re.findall(r".+?[.!?][\"”]?(?=\s|$)", text, re.DOTALL)]


def test_three_kinds_share_a_beginning() -> None:
    stories = calibration_stories(TEXTS, 12, seed=3)
    assert [item.kind for item in stories] == ["reference", "shuffled", "truncated"] * 12
    assert {item.model for item in stories} == {"calibration"}
    assert len({item.id for item in stories}) == 36
    whole = set(TEXTS)
    for at in range(0, 36, 3):
        reference, shuffled, truncated = stories[at : at + 3]
        assert reference.prompt == shuffled.prompt == truncated.prompt
        assert reference.prompt_id == shuffled.prompt_id == truncated.prompt_id == f"calibration-{at // 3:03d}"
        assert reference.prompt + reference.completion in whole
        assert reference.prompt[-1] in '.!?"'
        assert 0.1 < len(reference.prompt) / len(reference.prompt + reference.completion) < 0.55


def test_shuffled_keeps_whole_sentences_and_nothing_of_the_story() -> None:
    for reference, shuffled in zip(
        calibration_stories(TEXTS, 20, 0)[::3], calibration_stories(TEXTS, 20, 0)[1::3], strict=True
    ):
        assert reference.completion.count("\n") == shuffled.completion.count("\n")
        assert shuffled.completion[0] == reference.completion[0]
        own = set(sentences(reference.prompt + reference.completion))
        drawn = sentences(shuffled.completion)
        assert not own & set(drawn)
        givers = [{text for text in TEXTS if sentence in text} for sentence in drawn]
        assert all(givers)
        assert not set.intersection(*givers)
        assert shuffled.completion.count('"') % 2 == 0


def test_truncated_stops_in_mid_sentence() -> None:
    stories = calibration_stories(TEXTS, 20, 0)
    for reference, truncated in zip(stories[::3], stories[2::3], strict=True):
        assert reference.completion.startswith(truncated.completion)
        assert truncated.completion[-1] not in ".!?"
        assert 0.2 < len(truncated.completion) / len(reference.completion) < 0.8
        assert reference.completion[len(truncated.completion)] in " ,;:"
        assert (truncated.stop, reference.stop) == ("length", "end")


def test_equal_arguments_give_equal_stories() -> None:
    once = calibration_stories(TEXTS, 5, 1)
    assert once == calibration_stories([f"\n{text}\n" for text in reversed(TEXTS)], 5, 1)
    assert once != calibration_stories(TEXTS, 5, 2)
    assert calibration_stories([], 0, 0) == []


def test_what_stands_in_quotation_marks_is_not_parted() -> None:
    text = 'Tom sat. He said, "Hi. It is late. Go home." Ann ran. She fell. She got up. She went on. It was good.'
    first, *_ = calibration_stories([text, *TEXTS[:4]], 5, 0)[:1]
    references = {item.prompt for item in calibration_stories([text, *TEXTS[:4]], 5, 0)[::3]}
    assert first.prompt in references
    assert 'Tom sat. He said, "Hi. It is late. Go home."' in references


@pytest.mark.parametrize(
    "texts",
    [
        [],
        TEXTS[:4],
        [TEXTS[0]] * 50,
        ["One. Two. Three."] * 3 + [f"Tom sat {n}. Ann ran." for n in range(50)],
        [f"Number {n} ran. He sat. He ate. He slept. He woke. He got up and" for n in range(50)],
    ],
)
def test_too_little_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"5 calibration stories need 5 .*of the {len(texts)} given"):
        calibration_stories(texts, 5, 0)
    with pytest.raises(ValueError, match="0 or more"):
        calibration_stories(texts, -1, 0)
