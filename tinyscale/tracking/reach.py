"""Whether an MLflow answers, asked without opening it."""

import urllib.request
from urllib.parse import urlsplit, urlunsplit

from tinyscale.tracking.uri import PROBE_TIMEOUT_S, probe


def check_reach(uri: str) -> None:
    """Knock at a store: at a server's page of health, at a database's port. Local files and Databricks are left alone.

    :raises OSError: nobody answers, or not MLflow.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        # The page of health asks for no password, and urllib would take one for a part of the host's name.
        page = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + "/health", "", ""))
        urllib.request.urlopen(page, timeout=PROBE_TIMEOUT_S).close()
    else:
        probe(uri)
