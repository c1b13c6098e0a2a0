"""An object store behind a URI such as ``s3://bucket/prefix``, opened with pyarrow as Ray Train's storage path is."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SCHEMES = ("s3", "gs", "file")
S3_OPTIONS = ("region", "scheme", "endpoint_override", "tls_ca_file_path")
"""What may stand behind the ``?`` of an s3:// URI, in pyarrow's words."""
REQUEST_S = 5.0
"""Longest silence of a store within a request, of which there is one repetition."""
CHUNK_BYTES = 8 << 20
PARTIAL = ".partial-"
"""Begins the name of a file that is being written."""


class ObjectStoreError(ConnectionError):
    """The store does not answer, or refuses: worth another try."""


@dataclass(frozen=True)
class Stamp:
    """What tells two versions of a file apart."""

    size: int
    """Bytes."""
    time_ns: int
    """Of its last change; of an object in whole seconds, which every store can say."""


def is_uri(text: str) -> bool:
    """Whether a storage is named by URI, and is no folder."""
    return "://" in text


class ObjectStore:
    """The objects below a URI, by names relative to it. Credentials come from the environment or the machine's role."""

    def __init__(self, uri: str) -> None:
        """Asks the network nothing that can wait.

        :raises ValueError: another scheme, no bucket, an unknown option, or credentials in the URI.
        """
        parts = urlsplit(uri)
        if "@" in parts.netloc or ":" in parts.netloc:
            raise ValueError(
                f"the {parts.scheme}:// URI of the storage holds credentials (or a port): leave them out, for they "
                "would be written down; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machines a role"
            )
        if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file"):
            raise ValueError(
                f"{uri}: no storage; it is a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER"
            )
        self.uri = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._query = parts.query
        self._files, self._root = _open(self.uri, parts.query)

    @property
    def address(self) -> str:
        """The whole URI, from which another process opens the same."""
        return self.uri + (f"?{self._query}" if self._query else "")

    def below(self, name: str) -> "ObjectStore":
        """The objects below ``NAME/``."""
        return ObjectStore(f"{self.uri}/{name}" + (f"?{self._query}" if self._query else ""))

    def check(self) -> None:
        """Whether there is such a bucket, and it answers us.

        :raises ValueError: there is none.
        :raises ObjectStoreError: no answer, or no permission.
        """
        from pyarrow.fs import FileType

        bucket = self._root.partition("/")[0]
        with self._asking():
            missing = self.uri[:5] != "file:" and self._files.get_file_info(bucket).type == FileType.NotFound
        if missing:
            raise ValueError(f"{self.uri}: there is no bucket {bucket}, or it is in another region; make it first")

    def list(self, under: str = "") -> dict[str, Stamp]:
        """All objects, or those below the folder ``under``; empty where there is none."""
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(self._path(under), recursive=True, allow_not_found=True)
        with self._asking():
            found = self._files.get_file_info(selector)
        start = len(self._root) + 1
        whole = (info for info in found if info.type == FileType.File and not info.base_name.startswith(PARTIAL))
        return {info.path[start:]: _stamp(info) for info in whole}

    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly here, sorted."""
        from pyarrow.fs import FileSelector, FileType

        with self._asking():
            found = self._files.get_file_info(FileSelector(self._root, allow_not_found=True))
        return tuple(sorted(info.base_name for info in found if info.type == FileType.Directory))

    def read(self, name: str) -> bytes | None:
        """An object's content; None: there is no such object."""
        with self._asking():
            try:
                with self._files.open_input_stream(self._path(name)) as source:
                    return bytes(source.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Make or replace an object, whole."""
        with self._asking(), self._writing(name) as target:
            target.write(content)

    def download(self, name: str, path: Path) -> None:
        """Make or replace a file, whole.

        :raises FileNotFoundError: there is no such object (any more).
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL}{path.name}")
        with self._asking(), self._files.open_input_stream(self._path(name)) as source, partial.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
        partial.replace(path)

    def upload(self, path: Path, name: str) -> None:
        """Make or replace an object from a file."""
        with self._asking(), path.open("rb") as source, self._writing(name) as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)

    def delete(self, name: str) -> None:
        """Remove an object, or a folder with all below it; one that is not there is none to remove."""
        from pyarrow.fs import FileType

        path = self._path(name)
        with self._asking():
            try:
                if self._files.get_file_info(path).type == FileType.Directory:
                    self._files.delete_dir(path)
                else:
                    self._files.delete_file(path)
            except FileNotFoundError:
                pass

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        """A stream to an object, which a store shows whole or not at all; plain files take a rename for that."""
        path = self._path(name)
        if self._files.type_name != "local":
            with self._files.open_output_stream(path) as target:
                yield target
            return
        folder, _, base = path.rpartition("/")
        self._files.create_dir(folder, recursive=True)
        with self._files.open_output_stream(f"{folder}/{PARTIAL}{base}") as target:
            yield target
        self._files.move(f"{folder}/{PARTIAL}{base}", path)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What the store says no to has no number; an error of a file here has one, and stays what it is."""
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                raise
            raise ObjectStoreError(f"{self.uri}: {_plain(str(error))}") from error


def _open(uri: str, query: str) -> tuple[Any, str]:
    """pyarrow's file system and the path in it, with patience of seconds: how long to wait is for the caller to say."""
    from pyarrow.fs import FileSystem

    try:
        if uri.startswith("s3:"):
            return _open_s3(query, uri.removeprefix("s3://")), uri.removeprefix("s3://")
        if uri.startswith("gs:") and "retry_limit_seconds" not in query:
            query = f"{query}&retry_limit_seconds={2 * REQUEST_S:.0f}".lstrip("&")  # its own limit is 15 minutes
        files, root = FileSystem.from_uri(uri + (f"?{query}" if query else ""))
    except OSError as error:
        raise ObjectStoreError(f"{uri}: {_plain(str(error))}") from error
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from error
    return files, root.rstrip("/")


def _open_s3(query: str, path: str) -> Any:
    """As pyarrow opens the URI itself, but for its timeouts: it would ask a server that hangs for minutes."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - {*S3_OPTIONS}:
        raise ValueError(f"unknown option {min(unknown)!r}; there are {', '.join(S3_OPTIONS)}")
    elsewhere = "endpoint_override" in options or os.environ.keys() & {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
    if "region" not in options and not elsewhere:
        options["region"] = resolve_s3_region(path.partition("/")[0])
    return S3FileSystem(
        **options,
        connect_timeout=REQUEST_S,
        request_timeout=REQUEST_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
        allow_delayed_open=True,  # one request for a small file, and not three
    )


def _stamp(info: Any) -> Stamp:
    return Stamp(info.size, info.mtime_ns // 10**9 * 10**9)


def _plain(message: str) -> str:
    """AWS's message without the number of the request, its parts on one line."""
    return re.sub(r"\s*\(Request ID: [^)]*\)", "", " ".join(message.split()))
