"""What a worker says goes to its trial's log, not to the driver's terminal."""

import os
import socket
import sys
import time
from pathlib import Path

from tinyscale.results.store import TrialFolder
from tinyscale.spec import Job, Record, write_json
from tinyscale.train.narrate import line

STDOUT, STDERR = 1, 2


def enter_folder(job: Job) -> TrialFolder:
    """Begin work on a trial: its ``trial.json`` says so, and what this process says goes to its log."""
    folder = TrialFolder(Path(job.folder))
    folder.path.mkdir(exist_ok=True)  # and nothing above it: a storage that is away must not be made up
    write_json(folder.job, job)
    redirect_output(folder.log)
    note(f"{job.trial.name} on {socket.gethostname()}, process {os.getpid()}: {job.workers} x {job.engine}")
    return folder


def note_evaluation(record: Record, job: Job) -> None:
    """Log a record that holds an evaluation; the journal has them all."""
    if "eval/bpb" in record.metrics:
        note(line(record, job.trial.steps))


def note(text: str) -> None:
    """A line of the log, with the time."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def redirect_output(log: Path) -> None:
    """Append everything this process and its libraries print from now on to ``log``.

    On the level of file descriptors, so that C++ (NCCL, gloo) and child processes are caught as well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, STDOUT)
    os.dup2(file, STDERR)
    os.close(file)
