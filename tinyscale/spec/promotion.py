"""What leaves the laboratory and what comes in: models measured on all validation text, chosen, exported, imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinyscale.spec.law import Interval
from tinyscale.spec.trial import ModelConfig

ExportFormat = Literal["hf", "llama2c"]
"""hf: a folder that transformers loads; llama2c: model.bin and tokenizer.bin of karpathy's llama2.c."""
ImportFormat = Literal["hf", "llama2c"]
Dtype = Literal["fp32", "bf16"]
Criterion = Literal["bpb", "grade", "pareto"]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A model on all of a corpus' validation text: ``validation.json`` beside the model."""

    model_digest: str
    """SHA-256 of the model.safetensors that was measured."""
    corpus: str
    """Digest of the corpus."""
    bpb: Interval
    """Bits per byte, 95 % interval over stories."""
    loss: Interval
    """Nats per token, the end of each story counted, 95 % interval over stories."""
    stories: int
    bytes: int
    """UTF-8 bytes of the stories."""
    tokens: int
    """Tokens predicted: those of the stories, and each one's end."""
    context_length: int
    """Tokens that the model saw at once, at most."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished model of a study as the choice sees it."""

    trial_id: str
    name: str
    hidden_size: int
    num_layers: int
    vocab_size: int
    params_total: int
    tokens: int
    """Training tokens."""
    slice_bpb: float
    """On the slice of the validation text that the study's evaluations use."""
    validation: Validation | None = None
    """On all of it; None: not among the finalists, which alone are measured so."""
    grade: Interval | None = None
    """Overall grade of the newest judge; None: not graded."""
    stories_per_prompt: float = 0.0
    generation_tokens_per_s: float | None = None
    """One story at a time on the machine of the choice, fastest of several rounds; None: not asked for."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which model of a study is best, and whether that is certain."""

    study: str
    by: Criterion
    candidates: tuple[Candidate, ...]
    """Those that may be promoted, best first; by pareto: the front, smallest first, then the others."""
    front: tuple[str, ...] = ()
    """By pareto: ids of the trials that no other beats in bits per byte, size and speed."""
    best: str = ""
    """Id of the trial; empty by pareto, which names no single best."""
    ties: tuple[str, ...] = ()
    """Ids of the trials that the best one leads by no more than luck would give. Its own seeds are none."""
    lead: float | None = None
    """Over the next trial of another kind: in log bits per byte, or in points of the grade; None: there is none."""
    needed: float | None = None
    """Smallest lead that luck does not explain (95 %)."""
    yardstick: str = ""
    """What ``needed`` comes from, in words."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Trials that may not be promoted, by id, with the reason."""
    said: str = ""
    """The choice in a sentence or two."""

    @property
    def certain(self) -> bool:
        """The best one is better than luck explains."""
        return bool(self.best) and not self.ties


@dataclass(frozen=True, kw_only=True)
class ExportProof:
    """What a fresh process found when it loaded an export with software that is not ours."""

    loader: str
    """Class and version, such as ``LlamaForCausalLM of transformers 5.23.0``."""
    dtype: Dtype
    """Of the weights in the file; all is compared in fp32."""
    logit_difference: float
    """Largest absolute difference of logits."""
    greedy_tokens: int
    """Tokens drawn greedily, all equal."""
    bpb: float
    """Of the exported model as the loader computes it, on the text below."""
    our_bpb: float
    """As tinyscale computes it from the same weights."""
    bytes: int
    """UTF-8 bytes of that text."""


@dataclass(frozen=True, kw_only=True)
class ImportedModel:
    """A model that was trained elsewhere: ``import.json`` beside its ``model`` folder."""

    name: str
    source: str
    """Where it came from: ``owner/name@commit`` of the hub, or a path."""
    format: ImportFormat
    model: ModelConfig
    params_total: int
    params_non_embedding: int
    model_digest: str
    imported_s: float
    """Unix time."""
    validation: Validation | None = None
    """On the validation text of the study that it was imported into; None: into none."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A model on the hub: ``promotions/OWNER--NAME.json`` in the study's folder."""

    repo: str
    """owner/name."""
    url: str
    commit: str
    tag: str
    trial_id: str
    model_digest: str
    """SHA-256 of the model.safetensors in the repository."""
    files: Mapping[str, str]
    """SHA-256 of each file that was pushed, by name."""
    promoted_s: float
    """Unix time."""
    registered: str = ""
    """Name and version in MLflow's registry; empty: MLflow was away."""
