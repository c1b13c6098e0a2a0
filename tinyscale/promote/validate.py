"""A model on all of a corpus' validation text: bits per byte and nats per token, with intervals over stories."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tinyscale.data.cache import Progress, default_cache, silent
from tinyscale.data.corpus import CorpusFiles, prepare_corpus
from tinyscale.data.encode import encode_stories
from tinyscale.data.loader import IGNORED
from tinyscale.data.shards import Split
from tinyscale.data.tokenizer import begin_of_text_id, load_tokenizer
from tinyscale.results.storage import fetch_trial
from tinyscale.results.store import TrialFolder
from tinyscale.spec import Interval, Job, ModelConfig, ResolvedStudy, Validation, read_json, write_json
from tinyscale.spec.trial import Precision

if TYPE_CHECKING:
    from tinyscale.model.transformer import Transformer
    from tinyscale.train.device import Device

Floats = npt.NDArray[np.float64]

LOGIT_BYTES = 2**28
"""Most that the fp32 logits of one batch may take; a single window of a large model may take more."""
MOST_ROWS = 64
SAY_EVERY_S = 30.0


def validate_model(
    model_folder: Path, corpus: CorpusFiles, *, precision: Precision = "auto", progress: Progress = silent
) -> Validation:
    """Measure a model on every validation story, with its own tokenizer and its own context.

    The stories are laid end to end and cut into windows of the model's context that do not overlap, as
    :func:`tinyscale.data.loader.evaluation_batches` does: on the same stories it gives the loss that training gives.
    Where a story begins with another token than it ends with, the model reads that token and is not asked for it.

    The intervals are those of a ratio estimator over stories; see :func:`ratio_interval`.

    :param precision: as in training: ``auto`` is bf16 on CUDA cards that have it, fp32 elsewhere.
    :raises ValueError: the folder holds no whole model, the text fewer than 2 stories, or a loss is not finite.
    """
    from tinyscale.model.store import TOKENIZER, load_model, model_digest
    from tinyscale.train.device import pick_device

    model = load_model(model_folder)
    tokenizer = load_tokenizer(model_folder / TOKENIZER)
    stories = encode_stories(corpus.valid, tokenizer)
    nats = story_nats(model, stories, begin_of_text_id(tokenizer), pick_device(precision), progress)
    if not np.isfinite(nats).all():
        raise ValueError(f"{model_folder}: the loss of {int((~np.isfinite(nats)).sum())} stories is not finite")
    tokens = np.diff(stories.token_ends, prepend=0)
    return Validation(
        model_digest=model_digest(model_folder),
        corpus=corpus.digest,
        bpb=ratio_interval(nats / math.log(2), stories.story_bytes),
        loss=ratio_interval(nats, tokens),
        stories=len(nats),
        bytes=int(stories.story_bytes.sum()),
        tokens=int(tokens.sum()),
        context_length=model.config.context_length,
    )


def trial_validation(folder: TrialFolder, corpus: CorpusFiles, *, progress: Progress = silent) -> Validation:
    """The ``validation.json`` of a trial where it is of this model and this corpus; else measured now, and written.

    Measured in the trial's own precision.

    :raises ValueError: as :func:`validate_model`.
    :raises ObjectStoreError: the study's object store is away.
    """
    from tinyscale.model.store import model_digest

    fetch_trial(folder, "model")
    if folder.validation.exists():
        known = read_json(Validation, folder.validation)
        if (known.model_digest, known.corpus) == (model_digest(folder.model), corpus.digest):
            return known
    precision = read_json(Job, folder.job).trial.train.precision if folder.job.exists() else "auto"
    measured = validate_model(folder.model, corpus, precision=precision, progress=progress)
    write_json(folder.validation, measured)
    return measured


def study_corpus(resolved: ResolvedStudy, progress: Progress = silent) -> CorpusFiles:
    """The very text that the trials of a study were trained and evaluated on.

    :raises ValueError: it can't be had any more, or has changed since the launch.
    :raises ConnectionError: it lies on the hub, which can't be reached.
    """
    corpus = prepare_corpus(resolved.study.corpus, default_cache(), progress)
    if changed := {trial.corpus for trial in resolved.trials} - {corpus.digest}:
        raise ValueError(
            f"{resolved.study.name}: the corpus has changed since the launch (digest {corpus.digest[:12]}, then "
            f"{min(changed)[:12]}); bring its files back, or launch the study again under another name"
        )
    return corpus


def story_nats(
    model: "Transformer", stories: Split, begin: int, device: "Device", progress: Progress = silent
) -> Floats:
    """(stories,) nats of each story and its end.

    :param begin: token before each story. Where it is what the stories end with, the end of one begins the next.
    """
    import torch

    inputs, targets = _stream(stories, begin)
    context, count = model.config.context_length, len(targets)
    step = _rows(model.config) * context
    nats = np.empty(count)
    model.to(device.torch_device).eval()
    said_s = time.monotonic()
    for start in range(0, count, step):
        length = min(step, count - start)
        padded = -(-length // context) * context
        windows = []
        for stream, filler in ((inputs, begin), (targets, IGNORED)):
            window = np.full(padded, filler, np.int64)
            window[:length] = stream[start : start + length]
            windows.append(torch.from_numpy(window.reshape(-1, context)).to(device.torch_device))
        with torch.no_grad(), device.autocast():
            losses = model.loss(windows[0], windows[1], reduction="none")
        nats[start : start + length] = losses.flatten()[:length].double().cpu().numpy()
        if time.monotonic() - said_s > SAY_EVERY_S:
            progress(f"validated {(start + length) / count:.0%} of {count:,} tokens")
            said_s = time.monotonic()
    counted = nats[targets != IGNORED]
    return np.add.reduceat(counted, _starts(stories))


def _stream(stories: Split, begin: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What the model reads, and what comes next: (tokens,) each; a target IGNORED is not asked for."""
    tokens = stories.tokens.astype(np.int64)
    if begin == tokens[-1]:
        return np.concatenate([[begin], tokens[:-1]]), tokens
    starts = _starts(stories)
    inputs = np.insert(tokens, starts, begin)[:-1]
    targets = np.insert(tokens, starts, IGNORED)[1:]
    return inputs, targets


def _starts(stories: Split) -> npt.NDArray[np.int64]:
    """(stories,) place of each story's first token."""
    return np.concatenate([np.zeros(1, np.int64), stories.token_ends[:-1]])


def _rows(config: ModelConfig) -> int:
    """Windows of a batch."""
    window = 4 * config.context_length * config.vocab_size
    return max(1, min(MOST_ROWS, LOGIT_BYTES // window))


def ratio_interval(tops: npt.NDArray[np.number], bottoms: npt.NDArray[np.number]) -> Interval:
    """Sum over sum and its 95 % interval over stories, in closed form (Cochran 1977, Sampling Techniques, ch. 6)::

        r = sum t_i / sum b_i,   var r = n / (n - 1) * sum (t_i - r b_i)^2 / (sum b_i)^2

    with the quantile of Student's t for n - 1 degrees of freedom. Stories are taken as drawn independently of each
    other; a mean over tokens would take tokens of one story so, and its interval would be too narrow.

    :param tops: (stories,), such as nats.
    :param bottoms: (stories,), such as bytes.
    :raises ValueError: one story alone tells nothing of how stories differ.
    """
    from scipy import stats

    n = len(tops)
    if n < 2:
        raise ValueError("an interval over stories needs at least 2 validation stories, and there is 1; give more text")
    ratio = float(tops.sum() / bottoms.sum())
    error = math.sqrt(n / (n - 1) * float(np.square(tops - ratio * bottoms).sum())) / float(bottoms.sum())
    away = float(stats.t.ppf(0.975, n - 1)) * error
    return Interval(value=ratio, low=ratio - away, high=ratio + away)
