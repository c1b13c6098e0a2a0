"""``python -P -m tinyscale.train trial.json``: one trial on a bare machine, alone or under torchrun."""

import argparse
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from tinyscale.spec import Job, TrialResult, read_json
from tinyscale.train import workers
from tinyscale.train.lock import FolderLockedError
from tinyscale.train.loop import JobError, run
from tinyscale.train.narrate import line

DONE, FAILED, BAD_INPUT = 0, 1, 2


def main() -> int:
    """Train; 0 done, 1 diverged or failed, 2 bad input, 128 + signal when told to stop."""
    parser = argparse.ArgumentParser(prog="python -P -m tinyscale.train", description=__doc__)
    parser.add_argument("job", type=Path, help="trial.json: a trial and where it runs")
    parser.add_argument("--engine", choices=("zero", "torch"), help="instead of the engine the job names")
    arguments = parser.parse_args()
    try:
        job = read_json(Job, arguments.job)
    except (OSError, ValueError) as error:
        return complain(error, BAD_INPUT)
    if arguments.engine:
        job = replace(job, engine=arguments.engine)
    join_torchrun()
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    try:
        result = run(job, lambda record: say(line(record, job.trial.steps)), lambda: bool(signals))
    except JobError as error:
        return complain(error, BAD_INPUT)
    except (FolderLockedError, OSError) as error:
        return complain(error, FAILED)
    return conclude(result, signals)


def conclude(result: TrialResult | None, signals: list[int]) -> int:
    """Say how it ended; the exit code."""
    if result is None:
        say("stopped at a checkpoint; the same command goes on")
        return 128 + signals[0] if signals else FAILED
    say(f"{result.status} {result.message}".rstrip())
    return DONE if result.status == "done" else FAILED


def join_torchrun() -> None:
    """Join the process group that torchrun has laid out in the environment, if any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """End the process group: at exit its threads may find their peers gone, and abort the process.

    For a process that is about to end: DeepSpeed keeps the group for as long as it lives.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def say(text: str) -> None:
    """Print, on the first worker only."""
    if workers.rank() == 0:
        print(text, flush=True)


def complain(error: Exception, code: int) -> int:
    """Say what is wrong; the exit code."""
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    status = main()
    leave()
    sys.exit(status)
