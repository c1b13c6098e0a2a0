import os
import subprocess
import sys

import pytest

from tinyscale.cluster import StudyLock, StudyLockedError

HOLD = "import sys; from pathlib import Path; from tinyscale.cluster import StudyLock\n" + (
    "with StudyLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_second_driver_is_told_who_holds_the_study_and_a_killed_one_holds_nothing(tmp_path):
    path = tmp_path / "study" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(StudyLockedError, match=rf"process {holder.pid} on {os.uname().nodename} since 20\d\d-"),
            StudyLock(path),
        ):
            pass
        holder.kill()
    with StudyLock(path), pytest.raises(StudyLockedError, match=f"process {os.getpid()} "), StudyLock(path):
        pass
    with StudyLock(path):
        pass
