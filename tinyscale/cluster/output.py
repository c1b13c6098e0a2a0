"""What a worker says goes to its trial's log, not to the driver's terminal."""

import os
import sys
from pathlib import Path

from tinyscale.results.store import TrialFolder
from tinyscale.spec import Job, write_json

STDOUT, STDERR = 1, 2


def enter_folder(job: Job) -> TrialFolder:
    """Begin work on a trial: its ``trial.json`` says so, and what this process says goes to its log."""
    folder = TrialFolder(Path(job.folder))
    folder.path.mkdir(exist_ok=True)  # and nothing above it: a storage that is away must not be made up
    write_json(folder.job, job)
    redirect_output(folder.log)
    return folder


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
