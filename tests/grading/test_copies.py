import random
from collections.abc import Sequence
from itertools import islice

import pytest

from tinyscale.data.stories import generate_stories
from tinyscale.grading import copies as copying
from tinyscale.grading.copies import find_copies
from tinyscale.grading.runs import RunSearch
from tinyscale.spec import Story


def story(completion: str, prompt: str = "", prompt_id: str = "p", sample: int = 0) -> Story:
    return Story(model="m", model_digest="d", prompt_id=prompt_id, prompt=prompt, completion=completion, sample=sample)


def longest_by_hand(words: Sequence[str], train: Sequence[Sequence[str]]) -> int:
    """Every run of the text, the longest first, looked for in every training story."""
    texts = [f" {' '.join(one)} " for one in train]
    for length in range(len(words), 0, -1):
        runs = {f" {' '.join(words[i : i + length])} " for i in range(len(words) - length + 1)}
        if any(run in text for run in runs for text in texts):
            return length
    return 0


@pytest.mark.parametrize("vocabulary", [3, 12, 200])
@pytest.mark.parametrize("piece", [1, 300, 10**6])
def test_runs_equal_those_found_by_hand(vocabulary: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words for long and overlapping runs, many for short ones; the training text in many pieces and in one."""
    rng = random.Random(vocabulary)
    names = [f"w{i}" for i in range(vocabulary)]
    train = [rng.choices([*names, "elsewhere"], k=rng.randint(1, 60)) for _ in range(60)]
    texts = [rng.choices([*names, "new"], k=rng.randint(0, 40)) for _ in range(30)]
    texts += [train[5][: len(train[5]) // 2] + ["new"] + train[6], train[7], train[8] + train[9]]
    monkeypatch.setattr(copying, "PIECE_CHARS", piece)
    found = find_copies(
        [story(" ".join(words), sample=i) for i, words in enumerate(texts)], (" ".join(one) for one in train)
    )
    runs = [*found.completions.values()]
    assert [run.words for run in runs] == [longest_by_hand(words, train) for words in texts]
    for run, words in zip(runs, texts, strict=True):
        assert f" {run.text} " in f" {' '.join(words)} "
        assert len(run.text.split()) == run.words
        assert run.of == len(words)
    assert (found.train_stories, found.train_words) == (60, sum(map(len, train)))


def test_case_and_white_space_do_not_matter_and_punctuation_does() -> None:
    train = ["The cat sat.\nThe  dog ran\taway. It was fun."]
    found = find_copies([story("the CAT\n sat. the dog ran, away", sample=0), story(" ", sample=1)], train)
    first, empty = found.completions.values()
    assert (first.words, first.of, first.text) == (5, 7, "the cat sat. the dog")
    assert (empty.words, empty.of, empty.text) == (0, 0, "")


def test_no_run_goes_over_the_end_of_a_training_story() -> None:
    found = find_copies([story("one two three four"), story("\0 one two", sample=1)], ["one two", "three four five"])
    assert [run.words for run in found.completions.values()] == [2, 2]


def test_long_copies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt with 13 words of the training text, and completions of which half is one long run of it."""
    texts = [one.text for one in generate_stories(3, 400)]
    words = texts[200].split()
    stories = [
        story(" ".join(words[10:40]), "A new beginning", "new"),
        story(" ".join([*words[10:40], *["qwx"] * 31]), "A new beginning", "new", sample=1),
        story(" ".join(words[:12]), " ".join(words[:13]), "old"),
        story("qwx", " ".join(["qwx", *words[:12], "qwx"]), "half"),
    ]
    monkeypatch.setattr(copying, "PIECE_CHARS", 20_000)
    found = find_copies(stories, iter(texts))
    assert found.contaminated_prompts == ("old",)
    assert found.copied_stories == (stories[0].id,)
    assert found.completions[stories[1].id].words == 30
    assert found.completions[stories[3].id].words == 0
    assert found.prompts["half"].words >= 12


def test_runs_longer_than_a_sieve_are_found_wherever_they_begin() -> None:
    rng = random.Random(0)
    train = [str(rng.randrange(50)) for _ in range(5000)]
    texts = [train[start : start + length] for start, length in zip(range(0, 4900, 97), range(1, 60), strict=False)]
    search = RunSearch([["-", *words, "-"] for words in texts])
    search.look(train)
    assert [len(run) for run in search.longest()] == [len(words) for words in texts]
    assert all(run.start == 1 for run, words in zip(search.longest(), texts, strict=True) if len(words) > 3)


def test_the_training_text_is_taken_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is let go: no more stories are alive than fill a piece."""
    alive, most = 0, 0

    class Text(str):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def read() -> object:
        nonlocal alive, most
        for one in islice(generate_stories(0, 300), 300):
            alive += 1
            most = max(most, alive)
            yield Text(one.text)

    monkeypatch.setattr(copying, "PIECE_CHARS", 5_000)
    assert find_copies([story("One day")], read()).train_stories == 300  # type: ignore[arg-type]
    assert most < 40


def test_nothing_to_look_for_and_nothing_to_look_in() -> None:
    assert find_copies([], ["A cat sat."]).completions == {}
    found = find_copies([story("A cat", "One")], [])
    assert [run.words for run in (*found.completions.values(), *found.prompts.values())] == [0, 0]
