"""The built-in grammar: probabilities add up, words agree, and no text has two derivations."""

import random
import re
import statistics
from collections.abc import Iterator
from itertools import combinations, product

import pytest

from tinyscale.data.grammar import TABLE_BITS, Draw, Grammar, Maybe, Part, Recall, Rule, Zipf
from tinyscale.data.plots import RULES
from tinyscale.data.stories import generate_stories, load_grammar, story_entropy

WORD = re.compile(r"\w+(?:['-]\w+)*|[^\w ]")


class State:
    """A place in the grammar that reads one word out of a set; ``next`` are the states that may follow."""

    def __init__(self, words: frozenset[str], following: tuple["State | None", ...]) -> None:
        self.words, self.next = words, following


def automaton(grammar: Grammar) -> tuple[State | None, ...]:
    """The start states of an automaton over words (None accepts) with a path for each derivation of each text.

    A word remembered is let be any word of its list, so the automaton accepts more texts than the grammar writes: if
    no text has two paths here, none has two derivations there.
    """

    def before(parts: list[Part], after: tuple[State | None, ...]) -> tuple[State | None, ...]:
        for part in reversed(parts):
            match part:
                case str():
                    after = phrases([part], after)
                case Draw() | Recall():
                    after = phrases(part.texts, after)
                case Rule():
                    after = tuple(state for parts in part.alternatives for state in before(parts, after))
                case Maybe():
                    after = before([part.rule], after) + after
        return after

    def phrases(texts: object, after: tuple[State | None, ...]) -> tuple[State | None, ...]:
        return _trie([WORD.findall(text) for text in sorted(set(texts))], after)  # type: ignore[call-overload]

    return before([grammar.start], (None,))


def _trie(phrases: list[list[str]], after: tuple[State | None, ...]) -> tuple[State | None, ...]:
    if phrases == [[]]:
        return after
    ended = after if [] in phrases else ()
    phrases = [phrase for phrase in phrases if phrase]
    tails: dict[str, list[tuple[str, ...]]] = {}
    for word, *tail in phrases:
        tails.setdefault(word, []).append(tuple(tail))
    by_tail: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for word, rest in tails.items():
        by_tail.setdefault(tuple(rest), []).append(word)
    return ended + tuple(
        State(frozenset(words), _trie([list(tail) for tail in tails], after)) for tails, words in by_tail.items()
    )


def ambiguous(starts: tuple[State | None, ...]) -> list[str] | None:
    """Words of a text with two paths, from where they part, or None: squares the automaton (Book et al. 1971)."""
    pairs: list[tuple[State | None, State | None, tuple[object, ...]]] = []
    todo, seen_sets = [starts], {id(starts)}
    while todo:
        states = todo.pop()
        pairs.extend((a, b, ()) for a, b in combinations(states, 2))
        for following in (state.next for state in states if state is not None):
            if id(following) not in seen_sets:
                seen_sets.add(id(following))
                todo.append(following)
    seen: set[tuple[int, int]] = set()
    while pairs:
        a, b, trail = pairs.pop()
        if a is b:
            return _words(trail)
        if a is None or b is None or (id(a), id(b)) in seen or not a.words & b.words:
            continue
        seen |= {(id(a), id(b)), (id(b), id(a))}
        pairs.extend((p, q, (trail, min(a.words & b.words))) for p, q in product(a.next, b.next))
    return None


def _words(trail: tuple[object, ...]) -> list[str]:
    words: list[str] = []
    while trail:
        trail, word = trail  # type: ignore[assignment]
        words.append(str(word))
    return words[::-1]


def rules_below(rule: Rule) -> Iterator[Rule]:
    yield rule
    for part in (part for parts in rule.alternatives for part in parts):
        if isinstance(part, Rule | Maybe):
            yield from rules_below(part if isinstance(part, Rule) else part.rule)


def test_no_text_has_two_derivations() -> None:
    assert not re.search(r"[\w'-]\{|\}[\w'-]", RULES), "a slot must hold whole words"
    assert ambiguous(automaton(load_grammar())) is None


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("top 0:\n  a {pets} ran\n  a dog {verbs}", ["a", "dog", "ran"]),
        ("top 0:\n  one{?more}{?more}\nmore 0:\n  two", ["two"]),
        ("top 0:\n  {pets} {end}\n  cat sat\nend 0:\n  sat\n  ran", ["cat", "sat"]),
    ],
)
def test_the_proof_finds_two_derivations(source: str, text: list[str]) -> None:
    grammar = Grammar(source, {"pets": "dog cat", "verbs": "ran sat"})
    assert ambiguous(automaton(grammar)) == text


def test_a_word_drawn_shows_in_its_alternative() -> None:
    """A form that two words share (a person's ``he``) tells the word only beside a form that they don't."""
    for rule in set(rules_below(load_grammar().start)):
        for parts in rule.alternatives:
            for draw in (part for part in parts if isinstance(part, Draw)):
                shown = [p.texts for p in parts if isinstance(p, Recall) and p.variable == draw.variable]
                assert any(len(set(texts)) == len(texts) for texts in [draw.texts, *shown]), (
                    rule.name,
                    draw.words.name,
                )


def test_words_are_remembered_before_they_are_recalled() -> None:
    def remembered(rule: Rule, before: frozenset[str]) -> frozenset[str]:
        after = []
        for parts in rule.alternatives:
            known = before
            for part in parts:
                match part:
                    case Draw():
                        assert part.given is None or part.given in known, rule.name
                        known |= {part.variable} - {None}
                    case Recall():
                        assert part.variable in known, (rule.name, part.variable)
                    case Rule():
                        known = remembered(part, known)
                    case Maybe():
                        remembered(part.rule, known)
            after.append(known)
        return frozenset.intersection(*after)

    remembered(load_grammar().start, frozenset())


def test_probabilities_of_every_choice_add_up_to_one() -> None:
    grammar = load_grammar()
    choices = [rule.choice for rule in grammar.rules.values()] + [words.choice for words in grammar.words.values()]
    for choice in choices:
        assert sum(choice.probabilities) == 1.0
        assert len(choice.table) == 1 << TABLE_BITS
        assert choice.probabilities == [
            choice.table.count(rank) / len(choice.table) for rank in range(len(choice.log2))
        ]


def test_zipf_follows_the_power_law() -> None:
    choice = Zipf(40, 1.0)
    assert choice.probabilities[0] / choice.probabilities[9] == pytest.approx(10, rel=0.05)
    assert choice.probabilities == sorted(choice.probabilities, reverse=True)


def test_entropy_and_probabilities_agree_with_enumeration() -> None:
    """Of a small grammar: every text once, all probabilities together one, their entropy the recursion's."""
    source = "top 1.0:\n  {x=pets} and {colors~x} {x}{?tail}\n  no {pets}\ntail 0:\n  in {colors}\n  or not"
    grammar = Grammar(source, {"pets": "dog cat cow", "colors": "red blue"})
    random_bits = random.Random(0)
    texts = dict(grammar.write(random_bits) for _ in range(20_000))
    assert len(texts) == 3 * 2 * (1 + 2 + 1) + 3
    assert sum(2**bits for bits in texts.values()) == pytest.approx(1.0, abs=1e-12)
    assert -sum(2**bits * bits for bits in texts.values()) == pytest.approx(grammar.start.entropy, abs=1e-9)


def test_mean_surprise_is_the_entropy() -> None:
    bits = [-story.log2_prob for story in generate_stories(7, 4_000)]
    error = statistics.stdev(bits) / len(bits) ** 0.5
    assert abs(statistics.mean(bits) - story_entropy()) < 4 * error < 0.02 * story_entropy()


def test_stories_read_like_stories() -> None:
    stories = [story.text for story in generate_stories(0, 2_000)]
    assert len(set(stories)) == len(stories)
    for text in stories:
        assert 60 <= len(text.split()) <= 200
        assert re.fullmatch(r"[A-Z][^{}]*[.!?\"]", text)
        assert "  " not in text
        assert " \n" not in text
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]", text), text


def test_mistakes_of_an_author_are_named() -> None:
    with pytest.raises(ValueError, match=r"\{hat\}: neither a rule nor a word list nor a variable"):
        Grammar("top 0:\n  the {hat}", {})
    with pytest.raises(ValueError, match="variable 'x' is drawn from two lists"):
        Grammar("top 0:\n  {x=pets} {x=hats}", {"pets": "dog", "hats": "cap"})
    with pytest.raises(ValueError, match="stray"):
        Grammar("top 0:\n  {x pets}", {"pets": "dog"})
