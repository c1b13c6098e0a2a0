"""The command line: verbs only. What they do lives in the rooms below, imported when a verb needs it."""

import os
import sys

from tinyscale.cli import benching, choosing, exporting, grading, importing, launching, promoting, reading, watching
from tinyscale.cli.common import BAD_STUDY, PREFLIGHT, app

__all__ = ["main"]
VERBS = (launching, watching, reading, grading, choosing, promoting, exporting, importing, benching)
"""Importing them has registered their commands; the help names them in this order."""
app.registered_commands.sort(key=lambda command: VERBS.index(sys.modules[command.callback.__module__]))


def main() -> None:
    """Run a verb. Bad input ends in one clear message and exit code 2, a refused preflight in 3."""
    from tinyscale.cluster.events import PreflightError

    try:
        app()
    except (ValueError, PreflightError, ConnectionError) as error:
        if os.environ.get("TINYSCALE_TRACEBACK"):
            raise
        print(f"{error}\n(TINYSCALE_TRACEBACK=1 shows where this was found)", file=sys.stderr)
        sys.exit(BAD_STUDY if isinstance(error, ValueError) else PREFLIGHT)
