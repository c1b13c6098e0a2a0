"""What a trial's workers said."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from difflib import get_close_matches

from tinyscale.results.state import worked_on
from tinyscale.results.storage import fetch, fetch_trial
from tinyscale.results.store import StudyStore
from tinyscale.spec import Trial

LOOK_EVERY_S = 0.5


def find_trial(trials: Sequence[Trial], word: str) -> Trial:
    """The one trial of this name, or whose id begins so.

    :raises ValueError: there is none, or several.
    """
    found = [trial for trial in trials if trial.name == word] or [t for t in trials if t.id.startswith(word)]
    if len(found) == 1:
        return found[0]
    names = [trial.name for trial in found or trials]
    near = names if found else get_close_matches(word, names, n=5, cutoff=0.3) or names[:5]
    problem = "more than one trial begins so" if found else "no trial of this study"
    raise ValueError(f"{word}: {problem}; did you mean {', '.join(near)}? (`tinyscale status` lists them all)")


def print_log(store: StudyStore, trial: Trial, lines: int, *, follow: bool = False) -> None:
    """The last ``lines`` of a trial's log to stdout, and what comes in while a worker has the trial.

    :raises ValueError: no worker has begun the trial.
    """
    folder = store.trial(trial.id)
    fetch_trial(folder, "log.txt")
    if not folder.log.exists():
        raise ValueError(f"{trial.name} has no log: no worker has begun it yet")
    with folder.log.open("rb") as log:
        said = deque(log, maxlen=lines)
        heard = log.tell()
    _print(b"".join(said))
    if not said and not follow:
        print(f"{trial.name}: its workers said nothing", file=sys.stderr)
    while follow:
        fetch(store)
        running = worked_on(folder)  # asked before the last look, or its last words could be missed
        fetch_trial(folder, "log.txt")
        with folder.log.open("rb") as log:  # anew: what is fetched is another file each time
            log.seek(heard)
            _print(log.read())
            heard = log.tell()
        if not running:
            return
        time.sleep(LOOK_EVERY_S)


def _print(words: bytes) -> None:
    sys.stdout.write(words.decode(errors="replace"))
    sys.stdout.flush()
