"""What can be said of a model's stories without a judge. None of it says that a story is good."""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import fmean

from tinyscale.grading.copies import Copies
from tinyscale.spec import JudgeFree, Story

NGRAMS = (1, 2, 3)


def judge_free(model: str, stories: Sequence[Story], copies: Copies | None = None) -> JudgeFree:
    """The measures of one model among stories of many; calibration stories are left out.

    :param copies: what of them stands in the training text, if that was looked at.
    :raises ValueError: there is no story of that model.
    """
    mine = [story for story in stories if story.model == model and story.kind == "model"]
    if not mine:
        told = sorted({story.model for story in stories if story.kind == "model"})
        raise ValueError(f"no story of {model!r}; there are stories of {', '.join(told) or 'no model'}")
    texts = [tokens(story.completion) for story in mine]
    by_prompt: dict[str, list[list[str]]] = {}
    for story, words in zip(mine, texts, strict=True):
        by_prompt.setdefault(story.prompt_id, []).append(words)
    runs = [copies.completions[story.id].words for story in mine] if copies else []
    prompt_ids, story_ids = set(by_prompt), {story.id for story in mine}
    return JudgeFree(
        model=model,
        stories=len(mine),
        finished=fmean(story.stop == "end" for story in mine),
        mean_words=fmean(len(story.completion.split()) for story in mine),
        distinct={str(n): distinct(texts, n) for n in NGRAMS},
        rouge_l=alikeness(by_prompt.values()),
        longest_copy=fmean(runs) if runs else None,
        longest_copy_max=max(runs) if runs else None,
        contaminated_prompts=tuple(p for p in copies.contaminated_prompts if p in prompt_ids) if copies else (),
        copied=len(story_ids.intersection(copies.copied_stories)) if copies else 0,
    )


def tokens(text: str) -> list[str]:
    """Runs of letters and digits, lower-case, as the ROUGE package takes them."""
    return re.findall(r"[^\W_]+", text.lower())


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Distinct n-grams over all n-grams of the texts (Li et al. 2016); 0 where there is none.

    It falls with the amount of text: compare models by equally many stories of about the same length.
    """
    ngrams = [gram for words in texts for gram in zip(*(words[i:] for i in range(n)), strict=False)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def alikeness(groups: Iterable[Sequence[Sequence[str]]]) -> float:
    """Mean over groups of the mean ROUGE-L between any two texts of a group; 0 where no group has two."""
    means = [fmean(rouge_l(a, b) for a, b in combinations(group, 2)) for group in groups if len(group) > 1]
    return fmean(means) if means else 0.0


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """ROUGE-L of two texts (Lin 2004): F1 of their longest common subsequence, 0 to 1, the same both ways.

    Equals the package rouge-score 0.1.2 (rougeL without stemming) to 1e-15 on 504 pairs of TinyStories.
    """
    if not a or not b:
        return 0.0
    common = _common_subsequence(a, b)
    return 2 * common / (len(a) + len(b))


def _common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at once as the bits of a number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(a)) - 1
    row = whole
    for word in b:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & whole
    return len(a) - row.bit_count()
