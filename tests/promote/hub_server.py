"""A Hugging Face hub for tests: a real HTTP server on loopback that speaks the API which huggingface_hub 2.4 speaks.

It keeps model repositories in memory and fails when told to. Runs alone too (prints its URL, then serves)::

    python tests/promote/hub_server.py --port 8124
    HF_ENDPOINT=http://127.0.0.1:8124 HF_TOKEN=hf_adasTokenForTests tinyscale promote ...

Large and binary files go through LFS, up and down by "signed" addresses on another host name (localhost), as to the
hub's storage, so that a test can see that no token goes there. Xet is not spoken: a client that uploads through hf_xet
wherever that is installed, as huggingface_hub by itself does, needs HF_HUB_DISABLE_XET=1.
``POST /control`` takes a list of :class:`Fault`, ``GET /log`` says what was asked.
"""

import argparse
import base64
import hashlib
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

REPO = r"(?P<repo>[^/]+/[^/]+?)"
REVISION = r"(?P<revision>[^/]+)"
OID = r"(?P<oid>[0-9a-f]{64})"
ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("GET", rf"/api/models/{REPO}", "info"),
    ("GET", rf"/api/models/{REPO}/revision/{REVISION}", "info"),
    ("GET", rf"/api/models/{REPO}/refs", "refs"),
    ("GET", rf"/api/models/{REPO}/commits/{REVISION}", "commits"),
    ("GET", rf"/api/models/{REPO}/tree/{REVISION}(/(?P<path>.+))?", "tree"),
    ("POST", rf"/api/models/{REPO}/preupload/{REVISION}", "preupload"),
    ("GET", rf"/api/models/{REPO}/xet-write-token/{REVISION}", "xet"),
    ("POST", rf"/api/models/{REPO}/commit/main", "commit"),
    ("POST", rf"/api/models/{REPO}/tag/{REVISION}", "tag"),
    ("DELETE", rf"/api/models/{REPO}/tag/{REVISION}", "untag"),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", rf"/lfs/{REPO}/{OID}", "lfs_upload"),
    ("POST", rf"/lfs/{REPO}/{OID}/verify", "lfs_verify"),
    ("GET|HEAD", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", "resolve"),
    ("GET|HEAD", rf"/lfs/{REPO}/{OID}", "lfs_download"),
]
LFS_NAMES = ("*.safetensors", "*.bin", "*.pt", "*.npz")
LFS_BYTES = 10_000_000
GITATTRIBUTES = "".join(f"{name} filter=lfs diff=lfs merge=lfs -text\n" for name in LFS_NAMES).encode()
SIGNATURE = "X-Signature=secret-of-the-storage"
"""What stands in the addresses that the hub gives out for its storage; of use to anyone who reads it in a log."""


@dataclass(frozen=True)
class Account:
    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def owns(self, repo: str) -> bool:
        return repo.split("/")[0] in (self.name, *self.orgs)


ADA, READER, BOB = "hf_adasTokenForTests", "hf_adasReadingTokenForTests", "hf_bobsTokenForTests"
ACCOUNTS = {ADA: Account("ada", ("lab",)), READER: Account("ada", ("lab",), "read"), BOB: Account("bob")}


@dataclass(frozen=True)
class File:
    data: bytes
    lfs: bool
    commit: str
    """Which changed it last."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def blob(self) -> bytes:
        """What git keeps: of a file in LFS, the pointer."""
        if not self.lfs:
            return self.data
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {len(self.data)}")
        return "".join(line + "\n" for line in lines).encode()

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.blob) + self.blob).hexdigest()


@dataclass(frozen=True)
class Commit:
    id: str
    title: str
    message: str
    author: str
    files: dict[str, File]
    at: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"))


@dataclass
class Repo:
    id: str
    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """The storage of LFS, by SHA-256."""

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def write(
        self, title: str, changes: dict[str, tuple[bytes, bool] | None], *, message: str = "", author: str
    ) -> str:
        """A commit on top of the head: contents and whether they are in LFS; None removes."""
        files = dict(self.commits[-1].files) if self.commits else {}
        commit = hashlib.sha1(f"{self.id} {len(self.commits)} {title} {time.time_ns()}".encode()).hexdigest()
        for path, change in changes.items():
            files.pop(path, None)
            if change is not None:
                files[path] = File(*change, commit)
        self.commits.append(Commit(commit, title, message, author, files))
        return commit

    def at(self, revision: str) -> Commit:
        wanted = self.head.id if revision == "main" else self.tags.get(revision, revision)
        for commit in self.commits:
            if commit.id == wanted:
                return commit
        raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


@dataclass
class Fault:
    """What goes wrong at the next requests to one endpoint (a name in ROUTES)."""

    at: str
    status: int = 503
    """What is answered; 0: the connection is cut, in the middle of the body if there is one."""
    after: bool = False
    """Once the request has been carried out."""
    times: int = 1
    skip: int = 0
    """Requests that are answered well before it."""
    said: str = "scripted fault"
    """The server's message; ``{authorization}`` becomes the header, as careless gateways quote it."""
    retry_after: str = ""
    stall_s: float = 0.0
    """Seconds to hang in the middle of the body, before all that."""
    foreign: str = ""
    """Instead of all that: somebody else commits a file of this name just before the request is carried out."""


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, said: str, code: str = "", **headers: str) -> None:
        self.status, self.body = status, {"error": said}
        self.headers = {
            "X-Error-Message": " ".join(said.split()),
            **({"X-Error-Code": code} if code else {}),
            **headers,
        }


@dataclass
class Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    match: dict[str, str]
    query: dict[str, str]
    account: Account | None

    @property
    def json(self) -> dict:
        return json.loads(self.body)


Answer = tuple[int, object, dict[str, str]]


class Hub(ThreadingHTTPServer):
    """The server; a test may read and change ``repos``, ``faults`` and ``log`` as it likes."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.storage_url = f"http://localhost:{self.server_port}"
        self.accounts = dict(ACCOUNTS)
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.log: list[dict] = []
        self.page = 1000
        """Entries of a page of the tree."""
        self.lock = threading.RLock()
        self.ended = threading.Event()

    def make(self, repo: str, *, private: bool = True) -> Repo:
        made = self.repos[repo] = Repo(repo, private)
        made.write("initial commit", {".gitattributes": (GITATTRIBUTES, False)}, author="system")
        return made

    def asked(self, name: str) -> list[dict]:
        """The requests to one endpoint."""
        return [entry for entry in self.log if entry["at"] == name]

    def fault(self, name: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.at == name:
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    if fault.times:
                        fault.times -= 1
                        return fault
        return None

    def repo(self, request: Request, *, write: bool = False) -> Repo:
        name, account = request.match["repo"], request.account
        found = self.repos.get(self.renamed.get(name, name))
        if found is None or (found.private and not (account and account.owns(found.id))):
            raise RefusalError(404 if account else 401, "Repository not found", "RepoNotFound")
        if write and (account is None or account.role == "read" or not account.owns(found.id)):
            raise RefusalError(403, "You don't have write access to this repo")
        return found

    def whoami(self, request: Request) -> Answer:
        account = request.account
        if account is None:
            raise RefusalError(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.orgs]
        auth = {"type": "access_token", "accessToken": {"displayName": "for tests", "role": account.role}}
        return 200, {"type": "user", "name": account.name, "orgs": orgs, "auth": auth}, {}

    def create(self, request: Request) -> Answer:
        asked, account = request.json, request.account
        if account is None:
            raise RefusalError(401, "Invalid username or password.")
        owner = asked.get("organization") or account.name
        name = f"{owner}/{asked['name']}"
        if not account.owns(name) or account.role == "read":
            raise RefusalError(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        if name in self.repos:
            raise RefusalError(409, "You already created this model repo")
        self.make(name, private=asked.get("visibility") == "private")
        return 200, {"url": f"{self.url}/{name}", "name": name, "id": name}, {}

    def validate_yaml(self, request: Request) -> Answer:
        found = re.match(r"---\n(.*?)\n---\n", request.json["content"], re.DOTALL)
        try:
            data = yaml.safe_load(found[1]) if found else None
        except yaml.YAMLError as error:
            return 400, {"errors": [{"message": f"invalid YAML: {error}"}], "warnings": []}, {}
        if not found:
            return 200, {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}, {}
        if not isinstance(data, dict) or not isinstance(data.get("license", ""), str):
            return 400, {"errors": [{"message": '"license" must be a string'}], "warnings": []}, {}
        return 200, {"errors": [], "warnings": []}, {}

    def info(self, request: Request) -> Answer:
        repo = self.repo(request)
        commit = repo.at(request.match.get("revision") or "main")
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        info = {"id": repo.id, "modelId": repo.id, "private": repo.private, "sha": commit.id, "siblings": siblings}
        return 200, {**info, "tags": [], "downloads": 0, "likes": 0, "gated": False, "disabled": False}, {}

    def refs(self, request: Request) -> Answer:
        repo = self.repo(request)
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repo.tags.items()]
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.id}]
        return 200, {"tags": tags, "branches": branches, "converts": []}, {}

    def commits(self, request: Request) -> Answer:
        repo = self.repo(request)
        history = repo.commits[: repo.commits.index(repo.at(request.match["revision"])) + 1]
        told = [
            {"id": c.id, "title": c.title, "message": c.message, "authors": [{"user": c.author}], "date": c.at}
            for c in reversed(history)
        ]
        return 200, told, {}

    def tree(self, request: Request) -> Answer:
        repo, inside = self.repo(request), request.match.get("path")
        commit, entries = repo.at(request.match["revision"]), []
        told = {c.id: {"id": c.id, "title": c.title, "date": c.at} for c in repo.commits}
        for path, file in sorted(commit.files.items()):
            if inside and not path.startswith(f"{inside}/"):
                continue
            entry = {"type": "file", "oid": file.oid, "size": len(file.data), "path": path}
            if file.lfs:
                entry["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": len(file.blob)}
            if request.query.get("expand") == "true":
                entry["lastCommit"] = told[file.commit]
            entries.append(entry)
        if inside and not entries:
            raise RefusalError(404, f"{inside} does not exist on {commit.id}", "EntryNotFound")
        if request.query.get("recursive") != "true":
            entries = [e for e in entries if "/" not in e["path"].removeprefix(f"{inside}/" if inside else "")]
        start = int(request.query.get("cursor", 0))
        more = start + self.page < len(entries)
        path, asked = urlsplit(request.url).path, dict(request.query, cursor=str(start + self.page))
        following = f"{self.url}{path}?{'&'.join(f'{k}={v}' for k, v in asked.items())}"
        return 200, entries[start : start + self.page], {"Link": f'<{following}>; rel="next"'} if more else {}

    def preupload(self, request: Request) -> Answer:
        files = self.repo(request, write=True).head.files
        ignore = request.json.get("gitIgnore")
        if ignore is None:
            ignore = files[".gitignore"].data.decode() if ".gitignore" in files else ""
        said = []
        for asked in request.json["files"]:
            path, sample = asked["path"], base64.b64decode(asked["sample"])
            lfs = asked["size"] > LFS_BYTES or b"\0" in sample or any(fnmatch(path, name) for name in LFS_NAMES)
            there = files.get(path)
            oid = (there.sha256 if there.lfs else there.oid) if there else None
            ignored = any(fnmatch(path, line) for line in ignore.splitlines())
            said.append({"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": ignored, "oid": oid})
        return 200, {"files": said}, {}

    def xet(self, request: Request) -> Answer:
        raise RefusalError(404, "this hub has no xet")

    def lfs_batch(self, request: Request) -> Answer:
        repo, objects = self.repo(request, write=True), []
        for asked in request.json["objects"]:
            href = f"{self.storage_url}/lfs/{repo.id}/{asked['oid']}"
            verify = {"href": f"{self.url}/lfs/{repo.id}/{asked['oid']}/verify"}
            actions = (
                {} if asked["oid"] in repo.objects else {"upload": {"href": f"{href}?{SIGNATURE}"}, "verify": verify}
            )
            objects.append({**asked, **({"actions": actions} if actions else {})})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def lfs_upload(self, request: Request) -> Answer:
        if SIGNATURE not in request.url:
            raise RefusalError(403, "not signed")
        if hashlib.sha256(request.body).hexdigest() != request.match["oid"]:
            raise RefusalError(400, "the content has another SHA-256")
        self.repos[request.match["repo"]].objects[request.match["oid"]] = request.body
        return 200, b"", {}

    def lfs_verify(self, request: Request) -> Answer:
        kept = self.repo(request, write=True).objects.get(request.match["oid"])
        if kept is None or len(kept) != request.json["size"]:
            raise RefusalError(404, "no such object")
        return 200, {}, {}

    def commit(self, request: Request) -> Answer:
        repo = self.repo(request, write=True)
        header, changes = {}, {}
        for line in request.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    header = value
                case "file":
                    changes[value["path"]] = (base64.b64decode(value["content"]), False)
                case "lfsFile":
                    data = repo.objects.get(value["oid"])
                    if data is None or len(data) != value["size"]:
                        raise RefusalError(400, f"LFS object {value['oid']} of {value['path']} was not uploaded")
                    changes[value["path"]] = (data, True)
                case "deletedFile":
                    if value["path"] not in repo.head.files:
                        raise RefusalError(404, "A file with this name doesn't exist", "EntryNotFound")
                    changes[value["path"]] = None
                case other:
                    raise RefusalError(400, f"this hub knows no {other}")
        if header.get("parentCommit") not in (None, repo.head.id):
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        who = request.account.name if request.account else ""
        made = repo.write(header["summary"], changes, message=header.get("description", ""), author=who)
        return 200, {"success": True, "commitOid": made, "commitUrl": f"{self.url}/{repo.id}/commit/{made}"}, {}

    def tag(self, request: Request) -> Answer:
        repo, name = self.repo(request, write=True), request.json["tag"]
        if not re.fullmatch(r"(?!.*\.\.)(?!.*\.lock$)[\w][\w.+/-]*(?<!\.)", name):
            raise RefusalError(400, f"invalid tag name {name!r}")
        if name in repo.tags or name == "main":
            raise RefusalError(409, f"Tag reference exists already: {name}")
        repo.tags[name] = repo.at(request.match["revision"]).id
        return 200, {}, {}

    def untag(self, request: Request) -> Answer:
        repo = self.repo(request, write=True)
        if repo.tags.pop(request.match["revision"], None) is None:
            raise RefusalError(404, "no such tag", "RevisionNotFound")
        return 200, {}, {}

    def resolve(self, request: Request) -> Answer:
        repo = self.repo(request)
        commit = repo.at(request.match["revision"])
        file, headers = commit.files.get(request.match["path"]), {"X-Repo-Commit": commit.id}
        if file is None:
            raise RefusalError(404, "Entry not found", "EntryNotFound", **headers)
        if not file.lfs:
            return 200, file.data, {**headers, "ETag": f'"{file.oid}"'}
        linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.data))}
        return (
            302,
            b"",
            {**headers, **linked, "Location": f"{self.storage_url}/lfs/{repo.id}/{file.sha256}?{SIGNATURE}"},
        )

    def lfs_download(self, request: Request) -> Answer:
        if SIGNATURE not in request.url:
            raise RefusalError(403, "not signed")
        return 200, self.repos[request.match["repo"]].objects[request.match["oid"]], {}

    def foreign_commit(self, repo: str, path: str, data: bytes = b"mine\n") -> str:
        """Somebody else changes a file."""
        with self.lock:
            return self.repos[repo].write(f"Upload {path}", {path: (data, False)}, author="bob")


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self) -> None:
        hub, path = self.server, urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        name, match = "", {}
        for methods, pattern, endpoint in ROUTES:
            if self.command in methods.split("|") and (found := re.fullmatch(pattern, path)):
                name, match = endpoint, {key: unquote(value) for key, value in found.groupdict().items() if value}
                break
        entry = {"at": name, "method": self.command, "path": self.path, "headers": headers, "status": 0}
        hub.log.append(entry)
        fault = hub.fault(name)
        length = int(headers.get("content-length", 0))
        if fault and fault.foreign:
            hub.foreign_commit(match["repo"], fault.foreign)
            fault = None
        if fault and not fault.after and (fault.stall_s or not fault.status):
            self.rfile.read(length // 2)
            hub.ended.wait(fault.stall_s)
            if not fault.status:
                return self.cut()
            self.rfile.read(length - length // 2)
            body = b""
        else:
            body = self.rfile.read(length)
        if name == "commit":
            entry["body"] = body.decode()
        if path in ("/control", "/log"):
            if path == "/control":
                hub.faults = [Fault(**asked) for asked in json.loads(body)]
            return self.answer(200, hub.log if path == "/log" else {}, {})
        if fault and not fault.after:
            status, said, more = self.scripted(fault, headers)
        else:
            status, said, more = self.carry_out(name, match, headers, body)
            if fault:
                if not fault.status:
                    return self.cut()
                status, said, more = self.scripted(fault, headers)
        entry["status"] = status
        return self.answer(status, said, more)

    def carry_out(self, name: str, match: dict[str, str], headers: dict[str, str], body: bytes) -> Answer:
        hub, query = self.server, {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        if not name:
            return 404, {"error": f"this hub has nothing at {self.command} {self.path}"}, {}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            if token and token not in hub.accounts:
                raise RefusalError(401, "Invalid credentials in Authorization header")
            account = hub.accounts.get(token)
            request = Request(self.command, self.path, headers, body, match, query, account)
            carry_out: Callable[[Request], Answer] = getattr(hub, name)
            with hub.lock:
                return carry_out(request)
        except RefusalError as problem:
            return problem.status, problem.body, problem.headers

    def scripted(self, fault: Fault, headers: dict[str, str]) -> Answer:
        said = fault.said.format(authorization=headers.get("authorization", ""))
        return fault.status, {"error": said}, {"Retry-After": fault.retry_after} if fault.retry_after else {}

    def answer(self, status: int, body: object, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client went away, as killed ones do
            super().handle()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--faults", default="[]", help=f"JSON, a list of such as {json.dumps(asdict(Fault('commit')))}")
    parser.add_argument("--follow-stdin", action="store_true", help="end when the standard input is closed")
    args = parser.parse_args()
    hub = Hub(args.port)
    hub.faults = [Fault(**fault) for fault in json.loads(args.faults)]
    threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True).start()
    print(hub.url, flush=True)
    if args.follow_stdin:
        sys.stdin.read()
    else:
        threading.Event().wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
