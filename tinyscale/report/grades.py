"""What the page tells of the stories and their grades."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinyscale.grading.comparisons import in_words
from tinyscale.grading.relative import FORMULA
from tinyscale.grading.results import GradesFolder, read_grades, read_judge_free, read_summaries
from tinyscale.grading.stories import read_stories
from tinyscale.results.imported import import_folder
from tinyscale.results.store import StudyStore
from tinyscale.spec import CRITERIA, Grade, GradeSummary, ImportedModel, ModelScore, Story, TrialResult

MODELS_BESIDE = 3
"""Models whose stories stand side by side."""
PROMPTS_BESIDE = 4
COLUMNS = ("overall", *CRITERIA)
PROTOCOLS = {
    "strict": "one call with a JSON schema, reasons before numbers",
    "paper": "two turns, as in Eldan & Li 2023",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """A story with its grade."""

    story: Story
    grade: Grade | None
    """None: not graded by this judge."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What several models made of one beginning."""

    prompt: str
    instruction: str
    told: Sequence[Told]


@dataclass(frozen=True, kw_only=True)
class GradesContent:
    """The section of a report on stories: grades of one judge, or, without any, what can be said without a judge."""

    summary: GradeSummary
    earlier: Sequence[GradeSummary] = ()
    """Other instruments' gradings of the same study, never mixed with this one."""
    beside: Sequence[Beside] = ()

    @property
    def columns(self) -> list[str]:
        """Criteria that any model has a mean of."""
        return [name for name in COLUMNS if any(name in score.means for score in self.summary.scores)]

    @property
    def kind_columns(self) -> list[str]:
        """Criteria that calibration stories have a mean of."""
        return [name for name in COLUMNS if any(name in kind.means for kind in self.summary.calibration.kinds)]

    @property
    def trust_columns(self) -> list[str]:
        """Criteria whose repeatability or length slope is known."""
        known = self.summary.calibration
        return [name for name in COLUMNS if name in known.kappa or name in known.length_slope]

    @property
    def formula(self) -> str:
        """Of the relative score, with the anchors' names; empty where there are none."""
        if not any(score.relative for score in self.summary.scores):
            return ""
        return f"{FORMULA}, worst = {self.summary.worst}, reference = {self.summary.reference}"

    @property
    def comparisons(self) -> list[str]:
        """The comparisons of the overall score, in words."""
        return [in_words(c) for c in self.summary.comparisons if c.criterion == "overall"]

    @property
    def other_comparisons(self) -> list[str]:
        """Those of single criteria."""
        return [in_words(c) for c in self.summary.comparisons if c.criterion != "overall"]

    @property
    def prompts(self) -> int:
        """Of the model with the most."""
        return max((score.prompts for score in self.summary.scores), default=0)

    @property
    def stories(self) -> int:
        """Told by all models, ungraded ones included."""
        return sum(score.stories + score.ungraded for score in self.summary.scores)


def read_grades_content(
    store: StudyStore, results: Iterable[TrialResult], imported: Iterable[ImportedModel] = ()
) -> GradesContent | None:
    """The newest grading of a study, else its judge-free measures; None where there are neither.

    :raises ValueError: a file of a grading is damaged.
    """
    summaries = read_summaries(store.path)
    free = read_judge_free(store.path)
    if not summaries:
        return GradesContent(summary=free) if free else None
    newest, *earlier = summaries
    finalists = [score.model for score in newest.scores][:MODELS_BESIDE]
    files = {r.name: store.trial(r.trial_id).stories for r in results if r.name in finalists}
    files |= {model.name: import_folder(store, model.name).stories for model in imported}
    stories = [s for name in finalists if name in files and files[name].exists() for s in read_stories(files[name])]
    grades = read_grades(GradesFolder(store.path).grades(newest.instrument.id)) if newest.instrument else ()
    return GradesContent(summary=_whole(newest, free), earlier=earlier, beside=side_by_side(stories, grades, finalists))


def side_by_side(stories: Iterable[Story], grades: Iterable[Grade], models: Sequence[str]) -> list[Beside]:
    """The first story of each model for a few prompts, evenly spaced over all: chosen by no one, so not the best.

    :param models: in the order in which they stand.
    """
    first = {(s.prompt_id, s.model): s for s in stories if s.sample == 0 and s.kind == "model"}
    grade_of = {(g.model, g.story_id): g for g in grades if g.repeat == 0}
    prompts = sorted({prompt for prompt, _ in first})
    step = max(len(prompts) / PROMPTS_BESIDE, 1)
    chosen = [prompts[int(i * step)] for i in range(min(PROMPTS_BESIDE, len(prompts)))]
    found = []
    for prompt in chosen:
        mine = [first[prompt, model] for model in models if (prompt, model) in first]
        told = [Told(story=story, grade=grade_of.get((story.model, story.id))) for story in mine]
        found.append(Beside(prompt=mine[0].prompt, instruction=mine[0].instruction, told=told))
    return found


def ages(score: ModelScore) -> str:
    """Age groups with their share: ``B 20 %, C 80 %``."""
    total = sum(score.ages.values())
    return ", ".join(
        f"{group}\N{NO-BREAK SPACE}{100 * count / total:.0f}\N{NO-BREAK SPACE}%" for group, count in score.ages.items()
    )


def _whole(summary: GradeSummary, free: GradeSummary | None) -> GradeSummary:
    """With the judge-free measures, wherever they were noted."""
    return summary if summary.judge_free or free is None else replace(summary, judge_free=free.judge_free)


def shape_of(
    results: Iterable[TrialResult], imported: Iterable[ImportedModel] = ()
) -> Mapping[str, tuple[int, int, float]]:
    """Hidden size, layers and bits per byte by the name of the model."""
    last = {r.name: max(r.points, key=lambda point: point.tokens) for r in results if r.points}
    shapes = {name: (point.hidden_size, point.num_layers, point.bpb) for name, point in last.items()}
    for model in imported:
        if model.validation:
            shapes[model.name] = (model.model.hidden_size, model.model.num_layers, model.validation.bpb.value)
    return shapes
