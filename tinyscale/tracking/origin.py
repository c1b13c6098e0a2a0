"""Where a launch came from: who, which commit, which versions. Noted beside the study, so that it can be told later."""

import getpass
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tinyscale.spec import from_json, to_json

PACKAGES = ("tinyscale", "torch", "deepspeed", "ray", "mlflow")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One launch of a study: a line of ``launches.jsonl``."""

    started_s: float
    """Unix time of the launch."""
    user: str = ""
    commit: str = ""
    """Of the repository that the launch was made in; empty: there is none."""
    dirty: bool = False
    """That repository had changes that were not committed."""
    versions: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """The tags that have columns of their own in MLflow's tables."""
        tags = {"mlflow.user": self.user, "mlflow.source.name": "tinyscale", "mlflow.source.git.commit": self.commit}
        tags |= {"mlflow.source.git.dirty": str(self.dirty)} if self.commit else {}
        return {name: value for name, value in tags.items() if value}


def find_origin(folder: Path) -> Origin:
    """This process, at this time, in ``folder``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""  # a container's user may have no name
    return Origin(
        started_s=time.time(),
        user=user,
        commit=_git(folder, "rev-parse", "HEAD"),
        dirty=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        versions=", ".join([f"python {sys.version.split()[0]}", *_versions()]),
    )


def note_origin(path: Path, origin: Origin) -> None:
    """Append a launch to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_json(origin)) + "\n")


def read_origins(path: Path) -> tuple[Origin, ...]:
    """Every launch noted, oldest first; a line that a kill cut short is left out.

    :raises ValueError: a whole line is no launch.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    try:
        return tuple(from_json(Origin, json.loads(line)) for line in lines if line.endswith("\n"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, and only tags of the past are lost") from error


def origin_at(origins: Sequence[Origin], time_s: float) -> Mapping[str, str]:
    """Tags of the launch that was the newest one at ``time_s``; none where none is known."""
    found = [origin for origin in origins if origin.started_s <= time_s]
    return found[-1].tags if found else {}


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue  # an optional engine that isn't installed here
    return found


def _git(folder: Path, *args: str) -> str:
    """What git answers in ``folder``; empty where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
