"""The study: one YAML file, as frozen data. ``load.py`` parses it, ``plan`` turns it into trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinyscale.spec.grading import Grading
from tinyscale.spec.trial import EngineName, Trial

GPT2_VOCAB_SIZE = 50_257
"""Tokens of GPT-2's tokenizer (Radford et al. 2019)."""
SchedulerName = Literal["fifo", "asha"]
Setting = int | float | str | bool
Settings = Mapping[str, Setting]
"""Fields of ModelConfig and TrainConfig by name; the recipe derives those left out."""
Axes = Mapping[str, Setting | tuple[Setting, ...]]
"""Settings of which some are tuples: every combination is one trial."""


@dataclass(frozen=True, kw_only=True)
class TokenBudget:
    """Ways to say ``tokens`` in a grid that depend on the model's size; a grid names one of them, or ``tokens``."""

    flops: float
    """Training FLOPs, forward and backward, attention and head included: equal for every size, as IsoFLOP curves are
    drawn (Hoffmann et al. 2022, approach 2)."""
    tokens_per_param: float
    """Training tokens for each of the model's parameters, embeddings included."""
    text_bytes: float
    """UTF-8 bytes of training text: equal for every vocabulary, whose tokens hold more or less of it."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing that a study varies with all else equal (an ablation); the report answers it."""

    ask: str
    """The question, as the report shall print it."""
    varies: tuple[str, ...]
    """Fields of model or train, such as [norm] or [mlp, intermediate_size]. Trials that agree in every other field,
    seed aside, are compared; the first field names the variants."""


@dataclass(frozen=True, kw_only=True)
class BuiltinCorpus:
    """Stories drawn from the package's own weighted grammar; needs no network."""

    source: Literal["builtin"] = "builtin"
    train_stories: int = 40_000
    """Training stories."""
    valid_stories: int = 1_000
    """Validation stories, drawn with another seed."""
    seed: int = 0
    """Seed of the generator."""


@dataclass(frozen=True, kw_only=True)
class FilesCorpus:
    """Local UTF-8 text; a line ``<|endoftext|>`` ends each story."""

    train: tuple[str, ...]
    """Paths of the training text, relative to the current folder."""
    valid: tuple[str, ...]
    """Paths of the validation text."""
    source: Literal["files"] = "files"


@dataclass(frozen=True, kw_only=True)
class HubCorpus:
    """A data set of text files on the Hugging Face hub."""

    source: Literal["hub"] = "hub"
    repo: str = "roneneldan/TinyStories"
    """Data set, as owner/name."""
    revision: str = "main"
    """Branch, tag or commit; the commit it led to is recorded."""
    train: tuple[str, ...] = ("TinyStoriesV2-GPT4-train.txt",)
    """Training files in the repository."""
    valid: tuple[str, ...] = ("TinyStoriesV2-GPT4-valid.txt",)
    """Validation files in the repository."""


Corpus = BuiltinCorpus | FilesCorpus | HubCorpus


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """Where tokens come from."""

    source: Literal["bpe", "gpt2", "mixed"] = "bpe"
    """bpe: byte-level BPE trained on the corpus, one training for every vocab_size; gpt2: OpenAI's 50,257; mixed:
    gpt2's for a vocab_size of 50,257, which takes more words than stories for children have, bpe for every other."""
    vocab_file: str = ""
    """gpt2's: local vocab.json instead of the hub's."""
    merges_file: str = ""
    """gpt2's: local merges.txt instead of the hub's."""
    train_bytes: int = 50_000_000
    """bpe's: the merges are learned on the first stories that fit in this many bytes."""

    def source_for(self, vocab_size: int) -> Literal["bpe", "gpt2"]:
        """Where the tokens of one vocabulary come from."""
        if self.source == "mixed":
            return "gpt2" if vocab_size == GPT2_VOCAB_SIZE else "bpe"
        return self.source


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies, and how trials are run."""

    workers: int = 1
    """Processes a trial (ZeRO-1 partitions the optimizer state over them)."""
    cpus: int | Literal["auto"] = 1
    """CPU cores a worker; also its threads. auto: by the model's size, as the plan shows."""
    gpus: float | Literal["auto"] = 0.0
    """GPUs a worker; a fraction shares one GPU between trials. auto: a whole one, or the share that a model of its
    size needs, as the plan shows."""
    engine: EngineName = "zero"
    """zero: DeepSpeed ZeRO-1; torch: plain PyTorch, one worker only."""
    max_failures: int = 3
    """Times a crashed trial is started again in one launch."""
    timeout_s: float = 1_800.0
    """Seconds without a new record after which a trial counts as hung and is started again; 0: never."""
    scheduler: SchedulerName = "fifo"
    """fifo: every trial runs to its end. asha: of trials that differ by learning_rate alone, Tune's ASHA stops those
    early that fall behind at an evaluation; at least one runs to its end, hold-outs and single rates always do."""

    @property
    def on_gpu(self) -> bool:
        """Whether trials compute on GPUs."""
        return isinstance(self.gpus, str) or self.gpus > 0


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one trial occupies, in numbers."""

    workers: int = 1
    cpus: int = 1
    """CPU cores a worker; also its threads."""
    gpus: float = 0.0
    """GPUs a worker."""

    @property
    def size(self) -> float:
        """GPUs of the whole trial; CPU cores where it computes on none."""
        return self.workers * (self.gpus or self.cpus)


@dataclass(frozen=True, kw_only=True)
class LawOptions:
    """How the law is fitted."""

    params: Literal["total", "non_embedding", "effective"] = "total"
    """Which count of parameters is N; effective: FLOPs a token / 6, attention and head included."""
    bootstraps: int = 1_000
    """Resamples of the runs for the intervals."""
    vocab_size: int = 0
    """Vocabulary whose trials the law L(N, D) is fitted on; 0: the one that most trials have."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Where MLflow is."""

    uri: str = ""
    """Tracking server or store; empty: MLFLOW_TRACKING_URI, else ``mlflow.db`` in the storage folder."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits and prices."""

    wall_s: float = 0.0
    """Wall-clock seconds after which a launch stops its trials at a checkpoint (exit code 5); 0: none."""
    price_per_device_hour: float = 0.0
    """Price of one GPU for an hour (of one worker's cores on a CPU), for the quote; 0: no quote of cost."""
    currency: str = "USD"
    """Of the price."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A scaling study: what is varied, what is kept, what is forecast."""

    name: str
    """Folder under the storage, and the MLflow experiment."""
    question: str = ""
    """What the study asks, in a sentence."""
    corpus: Corpus = field(default_factory=BuiltinCorpus)
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    model: Settings = field(default_factory=dict)
    """Fields of the model that every trial shares."""
    train: Settings = field(default_factory=dict)
    """Fields of the training that every trial shares."""
    space: tuple[Axes, ...]
    """Grids of trials: in each, a field may be a list, and every combination is a trial."""
    holdout: tuple[Axes, ...] = ()
    """Grids of trials that no fit sees: the law forecasts them first."""
    questions: tuple[Question, ...] = ()
    """What is asked of single fields: each gets its picture and its answer in the report."""
    resources: Resources = field(default_factory=Resources)
    law: LawOptions = field(default_factory=LawOptions)
    tracking: Tracking = field(default_factory=Tracking)
    budget: Budget = field(default_factory=Budget)
    grading: Grading = field(default_factory=Grading)


@dataclass(frozen=True, kw_only=True)
class VocabularyFacts:
    """What a vocabulary makes of the training text."""

    vocab_size: int
    bytes_per_token: float
    """UTF-8 bytes of training text per token, end-of-text tokens counted."""
    coverage: tuple[tuple[int, float], ...]
    """(k, share): what share of the training tokens are among the k most frequent kinds; k ascending."""


@dataclass(frozen=True, kw_only=True)
class ResolvedStudy:
    """A study with all its trials: what ``study.json`` in the study's folder holds."""

    study: Study
    trials: tuple[Trial, ...]
    """Every trial, hold-outs last."""
    vocabularies: tuple[VocabularyFacts, ...] = ()
    """Of every vocabulary that has been prepared, ascending."""
    entropy_bpb: float | None = None
    """Bits per byte of the validation stories under the built-in generator itself; None for other corpora."""
