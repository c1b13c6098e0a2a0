import os
import subprocess
import sys
from pathlib import Path

from tinyscale.cluster.folders import OWNER, YOUNG_S, own_folder

OWN = (
    "import sys; from tinyscale.cluster.folders import own_folder\n"
    "with own_folder('ray') as folder: print(folder, flush=True); sys.stdin.read()"
)


def test_what_a_killed_process_leaves_is_taken_away_and_what_a_live_one_holds_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    owners = [
        subprocess.Popen([sys.executable, "-c", OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    killed, alive = (Path(owner.stdout.readline().strip()) for owner in owners)
    (killed / "session").mkdir()
    owners[0].kill()
    owners[0].communicate()
    with own_folder("ray"):
        assert killed.exists(), "a young one may be about to be locked"
    for folder in (killed, alive):
        then = (folder / OWNER).stat().st_mtime - YOUNG_S - 1
        os.utime(folder / OWNER, (then, then))
    with own_folder("ray") as mine:
        assert not killed.exists()
        assert alive.exists()
    assert not Path(mine).exists()
    owners[1].communicate()
    assert not list(tmp_path.iterdir())
