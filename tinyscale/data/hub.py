"""Files on the Hugging Face hub, read through huggingface_hub alone: its cache, its token, its endpoint."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyscale.data.cache import Progress, silent, write_atomically

_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_commit(repo: str, revision: str, files: tuple[str, ...], cache: Path, progress: Progress = silent) -> str:
    """The commit that a branch or tag of a data set leads to; recorded in ``cache``.

    A commit stands for itself. While the hub can't be reached, a branch resolved before leads where it led then.

    :raises ValueError: no such data set, revision or file.
    :raises ConnectionError: the hub can't be reached, and the revision was never resolved here.
    """
    known = recorded_commit(repo, revision, cache)
    if known and _COMMIT.fullmatch(revision):
        return known
    from huggingface_hub import HfApi

    try:
        with _clear_errors(repo, revision):
            info = HfApi(endpoint=_endpoint()).dataset_info(repo, revision=revision, timeout=20)
    except ConnectionError as error:
        if known is None:
            raise
        progress(f"{error}; {repo}@{revision} stays at commit {known[:12]}, where it led before")
        return known
    present = [sibling.rfilename for sibling in info.siblings]
    if missing := [name for name in files if name not in present]:
        texts = [name for name in present if name.endswith(".txt")]
        raise ValueError(f"data set {repo}@{revision} has no file {missing[0]!r}; its text files are {texts}")
    write_atomically(_record(repo, revision, cache), json.dumps({"commit": info.sha}))
    return str(info.sha)


def recorded_commit(repo: str, revision: str, cache: Path) -> str | None:
    """The commit without asking the network, where it is known."""
    if _COMMIT.fullmatch(revision):
        return revision
    record = _record(repo, revision, cache)
    return str(json.loads(record.read_text(encoding="utf-8"))["commit"]) if record.exists() else None


def resolve_model(repo: str, revision: str) -> tuple[str, tuple[str, ...]]:
    """The commit that a branch, tag or commit of a model leads to, and the names of its files.

    :raises ValueError: no such model or revision, or its terms are not accepted.
    :raises ConnectionError: the hub can't be reached.
    """
    from huggingface_hub import HfApi

    with _clear_errors(repo, revision):
        info = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, timeout=20)
    return str(info.sha), tuple(sibling.rfilename for sibling in info.siblings or ())


def download(repo: str, filename: str, revision: str, repo_type: str) -> Path:
    """A file of the hub, from huggingface_hub's cache or the network.

    :raises ValueError: no such repository, revision or file.
    :raises ConnectionError: the hub can't be reached and the file isn't cached.
    """
    from huggingface_hub import hf_hub_download

    with _clear_errors(repo, revision):
        path = hf_hub_download(repo, filename, repo_type=repo_type, revision=revision, endpoint=_endpoint())
    return Path(path)


def _record(repo: str, revision: str, cache: Path) -> Path:
    return cache / "hub" / repo.replace("/", "--") / f"{revision.replace('/', '--')}.json"


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _clear_errors(repo: str, revision: str) -> Iterator[None]:
    from huggingface_hub import errors

    where = _endpoint() or "https://huggingface.co"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ValueError(f"{repo} on {where} is gated: accept its terms there, log in with `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(f"{where} has no public repository {repo!r} (a private one needs `hf auth login`)") from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{repo} on {where} has no branch, tag or commit {revision!r}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise _unreachable(repo, where, error) from error
    except errors.EntryNotFoundError as error:
        raise ValueError(f"{repo}@{revision} on {where} lacks a file: {error}") from error
    except errors.HTTPError as error:
        raise _unreachable(repo, where, error) from error


def _unreachable(repo: str, where: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"cannot reach the Hugging Face hub at {where} for {repo} ({type(error).__name__}); check the network and"
        " HF_ENDPOINT, or take files that lie on this machine"
    )
