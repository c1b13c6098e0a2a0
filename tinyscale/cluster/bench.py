"""``python -m tinyscale.cluster.bench``: what a trial costs beyond its training, against a plain loop in one process.

Both sides train the same small trials one after another, on one thread each; the study's side pays for Ray, Tune, the
journal's reader and the hand-over from trial to trial in a warm worker. The plain side is the same training loop called
in a row.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tinyscale.cluster.session import usable_cpus
from tinyscale.cluster.trials import run_trials
from tinyscale.data import prepare
from tinyscale.plan.planner import make_plan
from tinyscale.results.store import StudyStore
from tinyscale.spec import BuiltinCorpus, Job, Study, TrialResult, read_json, write_json
from tinyscale.spec.study import Resources, Setting

VOCAB_SIZE = 512
STORIES260K: dict[str, Setting] = {
    "preset": "llama", "hidden_size": 64, "num_layers": 5, "num_heads": 8, "num_kv_heads": 4, "intermediate_size": 172,
    "vocab_size": VOCAB_SIZE, "context_length": 512,
}  # fmt: skip
"""The shape of karpathy's stories260K, 260,032 parameters."""
PLAIN = """
import sys
from pathlib import Path
from tinyscale.spec import Job, read_json
from tinyscale.train.loop import run
for path in sys.argv[1:]:
    run(read_json(Job, Path(path)), lambda record: None)
"""


def main() -> int:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m tinyscale.cluster.bench", description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=500_000, help="training tokens of each")
    parser.add_argument("--engine", choices=("torch", "zero"), default="zero")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinyscale-bench-") as folder:
        jobs = make_jobs(Path(folder), arguments.trials, arguments.tokens, arguments.engine)
        plain_s = run_plain(Path(folder) / "plain", jobs)
        study_s, gaps_s = run_study(Path(folder) / "study", jobs)
    print(f"{len(jobs)} trials of 260,032 parameters, {arguments.tokens:,} tokens each, engine {arguments.engine}")
    print(f"plain loop   {plain_s:7.1f} s, imports included")
    print(f"study        {study_s:7.1f} s, Ray's start and end included: {study_s / plain_s:.3f} of the plain loop")
    print(
        f"warm start   {statistics.median(gaps_s):7.3f} s median, {max(gaps_s):.3f} s at most, from one trial's end to"
    )
    print("             where the next one can take its first step")
    return 0


def make_jobs(folder: Path, trials: int, tokens: int, engine: str) -> list[Job]:
    """Jobs that differ by their seed."""
    study = Study(
        name="bench",
        corpus=BuiltinCorpus(train_stories=2_000, valid_stories=100),
        model=STORIES260K,
        train={"tokens": tokens, "batch_size": 8, "eval_bytes": 20_000},
        space=({"seed": tuple(range(trials))},),
    )
    prepared = prepare(study, (VOCAB_SIZE,), folder / "cache")
    return [
        Job(
            trial=trial,
            shards=str(prepared.shards[VOCAB_SIZE]),
            tokenizer=str(prepared.tokenizers[VOCAB_SIZE]),
            folder="",
            engine="zero" if engine == "zero" else "torch",
        )
        for trial in make_plan(study).trials
    ]


def _placed(folder: Path, jobs: Sequence[Job]) -> list[Job]:
    store = StudyStore(folder.absolute())
    return [replace(job, folder=str(store.trial(job.trial.id).path)) for job in jobs]


def run_plain(folder: Path, jobs: Sequence[Job]) -> float:
    """Seconds of one process that trains them in a row."""
    paths = []
    for job in _placed(folder, jobs):
        paths.append(folder / f"{job.trial.id}.json")
        write_json(paths[-1], job)
    began = time.perf_counter()
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-P", "-c", PLAIN, *map(str, paths)], check=True, env=threads)
    return time.perf_counter() - began


def run_study(folder: Path, jobs: Sequence[Job]) -> tuple[float, list[float]]:
    """Seconds of a launch that runs one trial at a time, and of each hand-over."""
    store = StudyStore(folder.absolute())
    # A trial asks for all cores and uses one: so they run one after another, as in the plain loop.
    study = Study(name="bench", space=({},), resources=Resources(cpus=usable_cpus(), engine=jobs[0].engine))
    began = time.perf_counter()
    run_trials(store, _placed(folder, jobs), study, on_event=lambda event: None, should_stop=lambda: False)
    elapsed = time.perf_counter() - began
    results = sorted(
        (read_json(TrialResult, store.trial(job.trial.id).result) for job in jobs), key=lambda result: result.started_s
    )
    return elapsed, [later.started_s - one.finished_s for one, later in pairwise(results)]


if __name__ == "__main__":
    sys.exit(main())
