"""One repository of the hub, through its client; what the client raises ends here.

What it raises holds the request and with it the token, so each is turned into words inside its ``except`` block; those
are raised outside it, with nothing chained, after the token has been taken out of what the hub said.
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from tinyscale.promote.hub.client import find_token
from tinyscale.promote.hub.errors import LONGEST_WAIT_S, PASSING, Failure, HubError, clean, insist, retry_after_s
from tinyscale.promote.hub.plan import Changes, HubFile, LocalFile, compare, endpoint
from tinyscale.tracking import mask

T = TypeVar("T")
TIMEOUT_S = 60.0
"""Without a byte, in either direction; the client itself would wait for ever."""
MARK = "Promoted-with: tinyscale"
"""Last line of the commits made here: by them a later promotion knows its own files from those of others."""


class Repository:
    """One repository, through the client."""

    def __init__(self, repo: str, say: Callable[[str], None], pauses_s: Sequence[float]) -> None:
        from huggingface_hub import HfApi

        self.repo, self.where = repo, mask(endpoint())
        self._say, self._pauses_s = say, pauses_s
        self._account, self._left = "", "nothing was pushed"
        self._api = HfApi(
            endpoint=endpoint(),
            token=find_token(self.where),
            library_name="tinyscale",
            library_version=version("tinyscale"),
        )

    def admit(self, public: bool) -> Any:
        """Check who the token belongs to; what the hub says of the repository, None: there is none yet."""
        who = self._ask("asking whose the token is", self._api.whoami)
        self._account = str(who["name"])
        role = who.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise HubError(f"the token of {self._account} may only read: make one that may write at "
                           f"{self.where}/settings/tokens")  # fmt: skip
        owners = [self._account, *(str(org["name"]) for org in who.get("orgs", ()))]
        owner = self.repo.split("/")[0]
        if role == "write" and owner.lower() not in map(str.lower, owners):  # a fine-grained one may have other rights
            raise HubError(f"{self._account} may not write to {self.repo}; its owner may be {' or '.join(owners)}")
        found = self._ask(f"looking at {self.repo}", self._find)
        if found and found.id != self.repo:
            raise ValueError(f"{self.repo} is called {found.id} now: give that name")
        if found and not found.private and not public:
            raise ValueError(
                f"{self.where}/{self.repo} is public: give --public, and everybody can read what is pushed, or the "
                "name of another repository (a new one is private)"
            )
        return found

    def create(self, public: bool) -> None:
        """Make the repository."""

        def create() -> Any:
            if self._find() is None:  # an earlier try may have made it
                self._api.create_repo(self.repo, private=not public)
            return self._api.model_info(self.repo)

        found = self._ask(f"making {self.repo}", create)
        kind = "private" if found.private else "public"
        self._left = f"{self.repo} was made, and is left empty and {kind}"
        if not (found.private or public):
            raise HubError(f"{self.repo} was to be private: {self._left}")
        self._say(f"made {self.where}/{self.repo}, {kind}")

    def head(self) -> str:
        """The commit at the end of the branch main (what the hub says of the repository may lag behind)."""
        return self._ask(f"reading {self.repo}", self._head)

    def files(self, commit: str) -> dict[str, HubFile]:
        """All files at a commit."""
        return self._ask(f"reading {self.repo}", lambda: self._files(commit))

    def commit(self, local: Mapping[str, LocalFile], changes: Changes, parent: str, message: str) -> str:
        """Make the one commit on top of ``parent``; its id."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from huggingface_hub.errors import HfHubHTTPError

        # The same at every try: the client notes in them what is uploaded already.
        additions = [CommitOperationAdd(name, str(local[name].path)) for name in changes.write]
        deletions = [CommitOperationDelete(name, is_folder=False) for name in changes.delete]
        tried = False

        def commit() -> str:
            nonlocal tried
            if tried and (through := self._came_through(local, parent)):
                return through
            # A .gitignore in the repository would keep files out without a word: an empty one takes its place.
            self._api.preupload_lfs_files(self.repo, additions, free_memory=False, gitignore_content="")
            tried = True
            try:
                return self._create_commit([*additions, *deletions], parent, message)
            except HfHubHTTPError as error:
                if error.response.status_code != 412:
                    raise
            if through := self._came_through(local, parent):
                return through
            raise HubError(f"the hub says that {self.repo} has changed, and shows no change: {self._left}; "
                           "run the same command again")  # fmt: skip

        made = self._ask(f"pushing to {self.repo}", commit)
        self._left = f"commit {made[:12]} is on the hub, whole"
        return made

    def verify(self, commit: str, local: Mapping[str, LocalFile], changes: Changes) -> None:
        """Compare every file that the hub lists at the commit with the folder's."""
        there = self.files(commit)
        wrong = [*compare(local, there).write, *(name for name in changes.delete if name in there)]
        if wrong:
            raise HubError(
                f"{self.repo} at commit {commit[:12]} does not hold what was pushed: {', '.join(wrong)} differ. "
                f"Look at {self.where}/{self.repo}/tree/{commit}; the same command pushes them again"
            )

    def tagged(self, tag: str, parent: str, local: Mapping[str, LocalFile]) -> str:
        """Of ``parent`` and the tag's own commit, the earlier one that holds the folder's files."""
        earlier = self._ask(f"reading {self.repo}", self._tags).get(tag, parent)
        return parent if earlier == parent or compare(local, self.files(earlier)).write else earlier

    def tag(self, tag: str, commit: str) -> None:
        """Let the tag lead to the commit."""
        before = ""

        def place() -> None:
            nonlocal before
            there = self._tags().get(tag)
            if there == commit:
                return
            if there:
                before = there
                self._api.delete_tag(self.repo, tag=tag)
            self._api.create_tag(self.repo, tag=tag, revision=commit)

        self._ask(f"tagging {self.repo}", place)
        if before:
            self._say(f"tag {tag} moved from commit {before[:12]} to {commit[:12]}")

    def _find(self) -> Any:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        try:
            return self._api.model_info(self.repo)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None

    def _head(self) -> str:
        for branch in self._api.list_repo_refs(self.repo).branches:
            if branch.name == "main":
                return str(branch.target_commit)
        raise HubError(f"{self.repo} has no branch main: make one, or give the name of another repository")

    def _tags(self) -> dict[str, str]:
        return {tag.name: tag.target_commit for tag in self._api.list_repo_refs(self.repo).tags}

    def _files(self, commit: str) -> dict[str, HubFile]:
        history = self._api.list_repo_commits(self.repo, revision=commit)
        ours = {change.commit_id for change in history if MARK in change.message}
        return {
            entry.path: HubFile(
                size=entry.size,
                sha256=entry.lfs.sha256 if entry.lfs else "",
                git_oid=entry.blob_id,
                ours=bool(entry.last_commit and entry.last_commit.oid in ours),
            )
            for entry in self._api.list_repo_tree(self.repo, revision=commit, recursive=True, expand=True)
            if hasattr(entry, "blob_id")  # folders have none
        }

    def _create_commit(self, operations: Sequence[Any], parent: str, message: str) -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)  # what the hub thinks of the card comes as such
            done = self._api.create_commit(
                self.repo, operations, commit_message=message, commit_description=MARK, parent_commit=parent
            )
        for warning in caught:
            self._say(f"the hub warns: {self._clean(str(warning.message))}")
        return str(done.oid)

    def _came_through(self, local: Mapping[str, LocalFile], parent: str) -> str:
        """The commit of an earlier try whose answer was lost; empty: there was none, and ``parent`` is the newest.

        :raises HubError: somebody else has committed.
        """
        head = self._head()
        if head == parent:
            return ""
        for change in self._api.list_repo_commits(self.repo, revision=head):
            if change.commit_id == parent:
                break
            if MARK in change.message and not compare(local, self._files(change.commit_id)).write:
                return str(change.commit_id)
        raise HubError(
            f"somebody else has changed {self.repo} in the meantime (commit {head[:12]}), so {self._left}. Look at "
            f"{self.where}/{self.repo}/commits/main, then run the same command again: it builds on what is there"
        )

    def _ask(self, what: str, request: Callable[[], T]) -> T:
        """The answer to a request that may be made again.

        :raises ValueError: the hub finds what was sent wrong.
        :raises HubError: it gives no answer.
        """
        from huggingface_hub import get_session
        from huggingface_hub.errors import HTTPError

        def timely() -> T:
            get_session().timeout = TIMEOUT_S
            return request()

        raised = (HTTPError, OSError, RuntimeError, ValueError)
        got = insist(what, timely, raised, self._read, say=self._say, pauses_s=self._pauses_s)
        if not isinstance(got, Failure):
            return got
        if got.bad_input:
            raise ValueError(f"{what}: {got.said}; {self._left}")
        if got.status == 401:
            kept = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "`hf auth login`"
            raise HubError(f"{self.where} refuses the token of {kept}: log in with `hf auth login`, or set HF_TOKEN to "
                           f"a valid one; {self._left}")  # fmt: skip
        if got.status == 403:
            raise HubError(f"{self.where} does not allow it to {self._account or 'this token'} ({what}): {got.said}; "
                           f"{self._left}")  # fmt: skip
        asked = f" (it asks to wait {got.wait_s / 60:.0f} minutes)" if got.wait_s > LONGEST_WAIT_S else ""
        raise HubError(f"{self.where}, {what}: {got.said}{asked}; {self._left}; the same command goes on from there")

    def _read(self, error: Exception) -> Failure:
        """What the client raised, in words."""
        from huggingface_hub import constants, errors

        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # the client's own words for an upload that failed tell less
        name = type(error).__name__
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code
            # Where it is no answer but a failure, it is of what was just made, and not yet known to every server.
            lagging = isinstance(error, errors.RevisionNotFoundError | errors.RepositoryNotFoundError)
            said = f"{status} {self._clean(error.server_message or error.response.reason_phrase)}"
            wait_s = retry_after_s(error.response.headers)
            return Failure(said=said, status=status, passing=lagging or status in PASSING, wait_s=wait_s)
        if isinstance(error, errors.HTTPError):
            ours = name.startswith(("Unsupported", "LocalProtocol", "TooManyRedirects"))
            return Failure(said=f"can't be reached ({name}: {self._clean(str(error))})", passing=not ours)
        if isinstance(error, errors.OfflineModeIsEnabled):
            return Failure(said="HF_HUB_OFFLINE is set and forbids it: unset it")
        if isinstance(error, json.JSONDecodeError):
            return Failure(said="it answered something that is no JSON", passing=True)
        if isinstance(error, ValueError):
            return Failure(said=self._clean(str(error)), bad_input=True)
        if not constants.HF_HUB_DISABLE_XET:  # what hf_xet raises are the built-in errors
            constants.HF_HUB_DISABLE_XET = True  # until the end of the push: see quietly
            said = f"its xet storage failed, so LFS is taken instead ({self._clean(str(error))})"
            return Failure(said=said, passing=True)
        return Failure(said=f"{name}: {self._clean(str(error))}")

    def _clean(self, text: str) -> str:
        return clean(text, str(self._api.token))
