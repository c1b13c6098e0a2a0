"""The hub's client as it is used here: with whose token, and without a word of its own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tinyscale.promote.hub.errors import HubError

LOGS = {"huggingface_hub": logging.ERROR, "httpx2": logging.WARNING, "httpcore2": logging.WARNING}
"""How much the client and what it stands on may log; HF_DEBUG lets them."""


def find_token(where: str) -> str:
    """The token from the client's usual places.

    :raises HubError: there is none, or nothing that can be one.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import OIDCError

    try:
        token = get_token() or ""
    except OIDCError as error:
        token, problem = "", f"HF_OIDC_RESOURCE is set, and gives no token ({error})"
    else:
        if token and all("!" <= character <= "~" for character in token):  # the HTTP library would quote it otherwise
            return token
        problem = "the token holds characters that no token has" if token else f"there is no token for {where}"
        token = ""  # nor may a traceback with local variables show it
    raise HubError(f"{problem}: log in with `hf auth login`, or set HF_TOKEN (made at {where}/settings/tokens)")


@contextmanager
def quietly() -> Iterator[None]:
    """The client without progress bars, telemetry and its logs, which quote signed addresses; then as it was."""
    chosen = "HF_HUB_DISABLE_TELEMETRY" in os.environ
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import close_session, constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if not chosen:
        constants.HF_HUB_DISABLE_TELEMETRY = True  # the environment is read when the client is imported, maybe long ago
    xet = constants.HF_HUB_DISABLE_XET
    loggers = {} if constants.HF_DEBUG else {logging.getLogger(name): level for name, level in LOGS.items()}
    levels = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        constants.HF_HUB_DISABLE_XET = xet
        if bars:
            enable_progress_bars()
        close_session()  # the next one waits as long as its user likes
