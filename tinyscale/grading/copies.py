"""Contamination: how long a run of words of a story, or of its beginning, stands verbatim in the training text.

The training text is read once and held in memory a million of its characters at a time, whatever its size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tinyscale.grading.runs import RunSearch
from tinyscale.spec import Story

PIECE_CHARS = 1 << 20
"""Training text looked at in one go."""
LONG_WORDS = 13
"""A run of so many words is no coincidence: the n-gram that GPT-3's authors looked for (Brown et al. 2020, appendix C).
Shorter ones are what stories for children are made of."""
BREAK = "\0"
"""Stands between two stories of the training text: no run goes over it."""


@dataclass(frozen=True)
class Run:
    """The longest run of words of a text that stands in the training text."""

    words: int
    of: int
    """Words of the whole text."""
    text: str
    """The run, lower-case, its words one space apart."""

    @property
    def long(self) -> bool:
        """Whether it is no coincidence."""
        return self.words >= LONG_WORDS


@dataclass(frozen=True)
class Copies:
    """What of some stories stands in the training text."""

    completions: dict[str, Run]
    """By :attr:`tinyscale.spec.Story.id`."""
    prompts: dict[str, Run]
    """By the id of the prompt."""
    train_stories: int
    """Of the training text, all of them looked at."""
    train_words: int

    @property
    def contaminated_prompts(self) -> tuple[str, ...]:
        """Ids of the beginnings of which a long run stands in the training text."""
        return tuple(name for name, run in self.prompts.items() if run.long)

    @property
    def copied_stories(self) -> tuple[str, ...]:
        """Ids of the stories whose completion is, for at least half of it, one long run of the training text."""
        return tuple(name for name, run in self.completions.items() if run.long and 2 * run.words >= run.of)


def find_copies(stories: Sequence[Story], train: Iterable[str]) -> Copies:
    """Look for stories and their prompts in a training text.

    Words are what white space separates; case and the kind of white space do not matter, punctuation does. No run goes
    over the end of a training story.

    :param train: the training stories, such as :func:`tinyscale.data.corpus.iter_stories` gives; read once.
    """
    completions = {story.id: _words(story.completion) for story in stories}
    prompts = {story.prompt_id: _words(story.prompt) for story in stories}
    texts = [*completions.values(), *prompts.values()]
    search = RunSearch(texts)
    train_stories = train_words = 0
    for piece in _pieces(train):
        words = f" {BREAK} ".join(piece).lower().split()
        search.look(words)
        train_stories += len(piece)
        train_words += len(words) - words.count(BREAK)
    runs = [
        Run(len(place), len(words), " ".join(words[place.start : place.stop]))
        for words, place in zip(texts, search.longest(), strict=True)
    ]
    return Copies(
        completions=dict(zip(completions, runs, strict=False)),
        prompts=dict(zip(prompts, runs[len(completions) :], strict=True)),
        train_stories=train_stories,
        train_words=train_words,
    )


def _words(text: str) -> list[str]:
    return text.replace(BREAK, " ").lower().split()


def _pieces(train: Iterable[str]) -> Iterator[list[str]]:
    """Some stories at a time."""
    held: list[str] = []
    chars = 0
    for story in train:
        held.append(story)
        chars += len(story)
        if chars >= PIECE_CHARS:
            yield held
            held, chars = [], 0
    if held:
        yield held
