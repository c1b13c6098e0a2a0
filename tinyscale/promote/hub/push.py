"""A staged folder onto the Hugging Face hub: in one commit, or not at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyscale.promote.hub.client import quietly
from tinyscale.promote.hub.errors import PAUSES_S
from tinyscale.promote.hub.plan import compare, read_folder, tag_name
from tinyscale.promote.hub.repository import Repository
from tinyscale.spec.words import size


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """A folder that is on the hub, whole."""

    url: str
    """Of the repository's page."""
    commit: str
    tag: str
    """Leads to the commit."""
    files: Mapping[str, str]
    """SHA-256 of each file, by name."""
    created: bool
    """The repository is new."""
    unchanged: bool
    """The hub held it all already: no commit was made."""


def check_repo_name(repo: str) -> None:
    """Whether the hub takes ``repo`` as the name of a model repository; asks nobody.

    :raises ValueError: it doesn't.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    rules = "give OWNER/NAME, of letters, digits, - _ and . (at most 96, no -- or .., no .git at the end)"
    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise ValueError(f"{repo!r} can't name a model repository; {rules}") from None
    if "/" not in repo:
        raise ValueError(f"{repo!r} has no owner; {rules}")


def check_access(repo: str, *, public: bool, pauses_s: Sequence[float] = PAUSES_S) -> None:
    """Whether :func:`push` would be let in: to be asked before the work that precedes it. Changes nothing.

    :raises ValueError: ``repo`` is no name, is public and ``public`` is not set, or has been renamed.
    :raises HubError: there is no token, it is refused or may not write there, or the hub can't be reached.
    """
    check_repo_name(repo)
    with quietly():
        Repository(repo, lambda line: None, pauses_s).admit(public)


def push(
    folder: Path,
    *,
    repo: str,
    tag: str,
    public: bool,
    message: str,
    say: Callable[[str], None],
    pauses_s: Sequence[float] = PAUSES_S,
) -> Pushed:
    """Make ``repo`` on the hub hold what ``folder`` holds, by one commit upon the one seen before, and tag that.

    A repository is made where there is none, private unless ``public``. Of the files there, those that an earlier
    promotion pushed and the folder lacks are deleted; others' are kept and named. Where the hub holds it all, nothing
    is committed. A request that fails in passing is made again after ``pauses_s``; of a commit whose answer was lost,
    it is looked first whether it came through. Interrupted at any moment, the repository is as before or as after, and
    the same call goes on.

    :param tag: the study's name; a tag of that name is moved.
    :param message: title of the commit.
    :raises ValueError: the folder or the name can't be pushed, the repository is public and ``public`` is not set or
        has been renamed, or the hub finds the card's metadata wrong.
    :raises HubError: all else; nothing was pushed unless it says so.
    """
    check_repo_name(repo)
    local, tag = read_folder(folder), tag_name(tag)
    with quietly():
        hub = Repository(repo, say, pauses_s)
        there = hub.admit(public)
        if there is None:
            hub.create(public)
        elif public and there.private:
            say(f"{repo} is private and stays so: it is made public at {hub.where}/{repo}/settings")
        parent = hub.head()
        changes = compare(local, hub.files(parent))
        if changes.overwritten:
            told = ", ".join(changes.overwritten)
            say(f"changed on the hub by somebody else, and replaced (the history keeps it): {told}")
        if changes.foreign:
            say(f"in {repo}, not from a promotion, and kept: {', '.join(changes.foreign)}")
        if changes.nothing:
            commit = hub.tagged(tag, parent, local)
            say(f"{repo} holds it all already, at commit {commit[:12]}")
        else:
            commit = hub.commit(local, changes, parent, message)
            written = size(sum(local[name].size for name in changes.write))
            say(f"commit {commit[:12]}: {len(changes.write)} files written ({written}), {len(changes.delete)} deleted")
            hub.verify(commit, local, changes)
        hub.tag(tag, commit)
    return Pushed(
        url=f"{hub.where}/{repo}",
        commit=commit,
        tag=tag,
        files={name: file.sha256 for name, file in local.items()},
        created=there is None,
        unchanged=changes.nothing,
    )
