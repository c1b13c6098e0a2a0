"""The connection to a tracking store that may be away: MLflow down must cost a study nothing."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tinyscale.tracking.uri import mask, probe

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The link tries again by itself. A request that MLflow repeated unseen could open one run twice.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Set before mlflow is imported, where the user has set nothing else."""
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0


class Link:
    """Runs requests against the store; after a failure it lets a while pass before it tries again."""

    def __init__(
        self, uri: str, warn: Callable[[str], None], later: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """:param later: the command that sends what a failure kept back."""
        self.uri = uri
        self._later = f", or by `{later}`" if later else ""
        self.down = False
        self._warn = warn
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._retry_at = 0.0

    def client(self) -> "MlflowClient":
        """A new client; the first one takes seconds (the import, the schema of a new database).

        :raises OSError: the database doesn't answer.
        """
        probe(self.uri)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        _quieten()
        return MlflowClient(tracking_uri=self.uri)

    def attempt(self, request: Callable[[], None], *, at_once: bool = False) -> bool:
        """Run ``request`` unless the store is down and its pause isn't over (``at_once``: in any case).

        True when it ran to its end. A failure of the store is said once, an error of another kind is raised.
        """
        if self.down and not at_once and self._clock() < self._retry_at:
            return False
        try:
            request()
        except _store_errors() as error:
            self._failed(error)
            return False
        if self.down:
            self._warn(f"MLflow at {mask(self.uri)} answers again: what it missed is being sent")
        self.down, self._pause_s = False, FIRST_PAUSE_S
        return True

    def _failed(self, error: Exception) -> None:
        if not self.down:
            reason = f"{type(error).__name__}: {' '.join(mask(str(error)).split())[:300]}"
            self._warn(
                f"MLflow at {mask(self.uri)} can't be written to: nothing is lost, the journals keep every metric; "
                f"they are sent when MLflow is back, at the next launch{self._later} ({reason})"
            )
        self.down = True
        self._retry_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _store_errors() -> tuple[type[Exception], ...]:
    """What a store, its network and its disk raise (requests' errors are OSErrors)."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def _quieten() -> None:
    """Keep the making of a new database's schema, some 90 lines, out of the study's output."""
    import logging

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
