"""Which MLflow a study is tracked in, how its pages are opened, and how its address is printed."""

import os
import re
import shlex
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from tinyscale.spec.study import Tracking

SERVERS = ("http", "https", "databricks")
DATABASES = {"sqlite": None, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Schemes MLflow opens itself, without a server, and the ports they answer on."""
PROBE_TIMEOUT_S = 3.0


def resolve_uri(tracking: Tracking, storage: Path) -> str:
    """The study's own URI, else the environment's MLFLOW_TRACKING_URI, else ``mlflow.db`` in ``storage``.

    :raises ValueError: the URI names a kind of store that MLflow 3 doesn't write runs to.
    """
    uri = (
        tracking.uri
        or os.environ.get("MLFLOW_TRACKING_URI")
        or "sqlite:///" + quote(str(storage.absolute() / "mlflow.db"))
    )
    if _scheme(uri) not in (*SERVERS, *DATABASES):
        named = "tracking.uri" if tracking.uri else "MLFLOW_TRACKING_URI"
        raise ValueError(
            f"{named} is {mask(uri)!r}: MLflow keeps runs behind {', '.join((*SERVERS, *DATABASES))}, not in plain "
            "folders; write sqlite:///PATH.db for a local file, or leave it empty for mlflow.db in the storage folder"
        )
    return uri


def ui_command(uri: str) -> str:
    """The one command that opens the pages of the store ``uri``; credentials are masked."""
    if _scheme(uri) in SERVERS:
        return f"open {mask(uri)}"
    beside = Path(sys.executable).with_name("mlflow")
    program = "mlflow" if shutil.which("mlflow") or not beside.exists() else str(beside)
    return f"MLFLOW_DISABLE_TELEMETRY=true {shlex.quote(program)} ui --backend-store-uri {shlex.quote(mask(uri))}"


def mask(text: str) -> str:
    """``text`` with the credentials of every URI in it replaced by ``***``."""
    text = re.sub(r"(?<=://)[^/\s]*@", "***@", text)
    return re.sub(r"(?i)([?&](?:user|password|token)=)[^&\s]+", r"\1***", text)


def artifact_location(uri: str, storage: Path) -> str | None:
    """Where a new experiment keeps its files: a server decides itself (None), other stores use ``mlartifacts``."""
    return None if _scheme(uri) in SERVERS else (storage.absolute() / "mlartifacts").as_uri()


def probe(uri: str) -> None:
    """Knock at a database's port: MLflow's own first connection to one that is down blocks for 100 s.

    Servers are left to MLflow, which gives up at once and may reach them through a proxy.

    :raises OSError: nobody answers.
    """
    port = DATABASES.get(_scheme(uri))
    parts = urlsplit(uri)
    if port is not None and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or port), timeout=PROBE_TIMEOUT_S).close()


def _scheme(uri: str) -> str:
    """``postgresql`` of ``postgresql+psycopg2://...``; MLflow also takes a bare ``databricks``."""
    return "databricks" if uri == "databricks" else uri.partition(":")[0].partition("+")[0].lower()
