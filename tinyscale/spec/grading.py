"""Stories and their grades: what is told, who judges it, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinyscale.spec.codec import digest
from tinyscale.spec.law import Interval

Protocol = Literal["strict", "paper"]
StopReason = Literal["end", "length"]
StoryKind = Literal["model", "reference", "shuffled", "truncated"]
CRITERIA = ("grammar", "creativity", "consistency", "plot", "instruct")
"""What a story is graded on, 1 to 10 each; instruct only where its prompt carries instructions."""
AGE_GROUPS = ("A", "B", "C", "D", "E", "F")
"""Age of the writer as the judge guesses it: 3 or under, 4-5, 6-7, 8-9, 10-12, 13-16 (Eldan & Li 2023)."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A story's beginning."""

    id: str
    """Unique in its set, such as ``rain-03``."""
    text: str
    """What a model is given, and goes on from."""
    instruction: str = ""
    """What the story was asked to hold (words to use, features); empty: nothing, and instruct is not graded."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """One line of ``stories.jsonl``: a beginning and what a model made of it."""

    model: str
    """Name of the model: a trial's name, or the folder's."""
    model_digest: str
    """SHA-256 of its model.safetensors; empty for a text that no model told."""
    prompt_id: str
    prompt: str
    completion: str
    instruction: str = ""
    sample: int = 0
    """0, 1, ... within the prompt."""
    seed: int = 0
    """Of the sampling of this story."""
    temperature: float = 1.0
    max_tokens: int = 0
    """Limit of the completion (tokens)."""
    tokens: int = 0
    """Tokens of the completion, the end of text not counted."""
    stop: StopReason = "end"
    """end: the model ended its story; length: it was cut at max_tokens."""
    kind: StoryKind = "model"
    """model: told by the model under test; the others are the judge's own test (calibration)."""

    @property
    def id(self) -> str:
        """Hash of the text and of who told it: equal stories of one model are two where their samples differ."""
        return digest([self.model_digest or self.model, self.prompt_id, self.prompt, self.instruction,
                       self.completion, self.sample, self.kind])[:16]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The language model that grades, behind any endpoint that speaks OpenAI's chat completions."""

    model: str = ""
    """Name of the model at the endpoint; empty: no judge at hand, only measures that need none."""
    base_url: str = "https://api.openai.com/v1"
    """Endpoint: OpenAI's, vLLM's, llama.cpp's, Ollama's ..."""
    api_key_env: str = ""
    """Environment variable that holds the key. Empty: OPENAI_API_KEY at OpenAI's own endpoint, and no key elsewhere."""
    protocol: Protocol = "strict"
    """strict: one call with a JSON schema, reasons before numbers; paper: two turns (Eldan & Li 2023)."""
    temperature: float = 0.0
    """Below 0: none is sent, for models that take none."""
    seed: int = 0
    """Sent with each call; an endpoint may ignore it. Below 0: none is sent, for endpoints that take none."""
    max_tokens: int = 1_000
    """Longest reply of one turn (tokens)."""
    requests_per_minute: float = 300.0
    """The rate is kept over all workers of a grading."""
    concurrency: int = 8
    """Calls in flight at once."""
    timeout_s: float = 60.0
    """Of one call."""
    max_attempts: int = 6
    """Calls for one grade before it counts as ungraded."""
    price_input_usd: float = 0.0
    """US dollars for a million input tokens; 0 for a model of one's own."""
    price_output_usd: float = 0.0
    """US dollars for a million output tokens."""
    priced_on: str = ""
    """Day on which the prices were read, such as 2026-11-21; needed with a price."""


@dataclass(frozen=True, kw_only=True)
class Grading:
    """How the stories of a study's models are told and graded."""

    prompts: str = "builtin"
    """builtin: 50 beginnings of the project's own; tinystories: the authors' 44, from the hub; else a file's path."""
    completions: int = 10
    """Stories a prompt and model."""
    temperature: float = 1.0
    """Of the sampling."""
    max_tokens: int = 300
    """Longest completion (tokens of the model)."""
    seed: int = 0
    models: int = 3
    """Best finished trials by bits per byte that are graded; 0: all."""
    calibration: int = 20
    """Stories of the validation text given to the judge as they are, shuffled and truncated, each session; 0: none."""
    repeat_share: float = 0.1
    """Share of the stories graded three times, to see whether the judge agrees with itself."""
    worst: str = ""
    """Anchor of the relative score 0: a graded model's name."""
    reference: str = ""
    """Anchor of the relative score 1: a graded model's name."""
    bootstraps: int = 1_000
    """Resamples of the prompts for the intervals."""
    budget_usd: float = 5.0
    """Most that the judge's calls of one study may cost; where it is reached the grading ends with exit code 5."""
    judge: Judge = field(default_factory=Judge)


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """All that decides how a story is scored. Scores of different instruments are never put together."""

    model: str
    base_url: str
    protocol: Protocol
    temperature: float
    seed: int
    max_tokens: int
    rubric: str
    """Version of the rubric: its digest."""

    @property
    def id(self) -> str:
        """Short hash."""
        return digest(self)[:12]


@dataclass(frozen=True, kw_only=True)
class Grade:
    """What the judge said of one story once. A grade without scores is ungraded, not zero."""

    story_id: str
    model: str
    prompt_id: str
    sample: int
    kind: StoryKind
    repeat: int
    """0: the story's grade; 1, 2: the judge asked again. Of the judge's own test: the session, by its place."""
    instrument: str
    """Id of the instrument."""
    scores: Mapping[str, int] = field(default_factory=dict)
    """By criterion, 1 to 10."""
    age_group: str = ""
    """A to F."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """The judge's words, by criterion; under ``assessment`` those of the paper's first turn."""
    ungraded: str = ""
    """Why there are no scores; empty when there are."""
    flags: tuple[str, ...] = ()
    """What makes the story suspicious of speaking to its judge; a flagged story is graded like any other."""
    answered_by: str = ""
    """Model and fingerprint that the endpoint says answered."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    """Of all turns and attempts that were answered."""
    graded_s: float = 0.0
    """Unix time of the answer."""
    words: int = 0
    """Of the completion, for the length regression."""


@dataclass(frozen=True, kw_only=True)
class ModelScore:
    """A model's scores over its prompts."""

    model: str
    prompts: int
    stories: int
    """Graded ones."""
    ungraded: int
    means: Mapping[str, Interval]
    """By criterion, 95 % intervals by bootstrap over prompts; empty above 2 % ungraded."""
    withheld: str = ""
    """Why no mean is given."""
    relative: Mapping[str, float] = field(default_factory=dict)
    """By criterion, (score - worst) / (reference - worst); empty without anchors."""
    ages: Mapping[str, int] = field(default_factory=dict)
    """Stories by age group."""
    flagged: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models paired by prompt."""

    better: str
    worse: str
    criterion: str
    """A criterion, or ``overall``: the mean over those that both have."""
    difference: Interval
    """Mean of the paired differences by prompt, better - worse, 95 % interval by bootstrap over prompts."""
    prompts: int
    tie: bool
    """The interval holds 0."""


@dataclass(frozen=True, kw_only=True)
class KindScore:
    """Scores of one kind of calibration stories."""

    kind: StoryKind
    stories: int
    means: Mapping[str, Interval]
    """By criterion."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Whether the judge can tell good from bad today, and agrees with itself."""

    kinds: tuple[KindScore, ...] = ()
    """reference, shuffled, truncated."""
    drift: Interval | None = None
    """Overall scores of these stories in the last session less those in the first; None: there was but one."""
    can_tell: bool | None = None
    """References score above shuffled ones with certainty; None: not asked."""
    kappa: Mapping[str, float] = field(default_factory=dict)
    """Quadratic-weighted kappa of repeats, by criterion (Cohen 1968)."""
    repeats: int = 0
    """Stories that were graded more than once."""
    length_slope: Mapping[str, Interval] = field(default_factory=dict)
    """Points a doubling of the completion's words brings, by criterion, within model and prompt."""
    answered_by: tuple[str, ...] = ()
    """Models that the endpoint says answered; more than one means it changed under way."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JudgeFree:
    """What can be said of a model's stories without a judge; none of it says that a story is good."""

    model: str
    stories: int
    finished: float
    """Share that ended before the limit."""
    mean_words: float
    distinct: Mapping[str, float]
    """Distinct n-grams over all n-grams of its completions, by n as text: 1, 2, 3 (Li et al. 2016)."""
    rouge_l: float
    """Mean over prompts of the ROUGE-L between completions of one prompt: high is repetitive (Lin 2004)."""
    longest_copy: float | None = None
    """Mean over stories of the longest run of words that stands in the training text too (words); None: not checked."""
    longest_copy_max: int | None = None
    """The longest of them all."""
    contaminated_prompts: tuple[str, ...] = ()
    """Prompts of which a long stretch stands in the training text."""
    copied: int = 0
    """Completions that are, for the most part, one run of words of the training text."""


@dataclass(frozen=True, kw_only=True)
class GradeSummary:
    """All that one grading says: ``grades/INSTRUMENT/summary.json``."""

    instrument: Instrument | None
    """None: no judge at hand."""
    first_s: float = 0.0
    """Unix time of the first and last answer."""
    last_s: float = 0.0
    scores: tuple[ModelScore, ...] = ()
    """Best first."""
    comparisons: tuple[Comparison, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)
    judge_free: tuple[JudgeFree, ...] = ()
    worst: str = ""
    """Anchors of the relative score."""
    reference: str = ""
    cost_usd: float = 0.0
    priced_on: str = ""
    """Day of the prices."""
    calls: int = 0
    """Answered calls, all turns and repeats."""
    notes: tuple[str, ...] = ()
    """What could not be said, and why."""
