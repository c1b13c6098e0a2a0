"""MLflow away, from the start or in the middle: the study hears of it once, and nothing is lost or sent twice."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tinyscale.spec.study import Tracking
from tinyscale.tracking.link import FIRST_PAUSE_S, LONGEST_PAUSE_S, Link
from tinyscale.tracking.runs import Runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_was_never_there_raises_nothing(lab: Any, scheme: str, free_port: int) -> None:
    trial = lab.trial()
    projector = lab.projector(tracking=Tracking(uri=f"{scheme}://me:secret@127.0.0.1:{free_port}"))
    assert not projector.down
    assert not projector.connect()
    assert projector.down
    started = time.monotonic()
    for _ in range(100):
        assert not projector.project(trial, lab.records(3), 30)
        assert not projector.finish_trial(trial, lab.result(trial))
    assert time.monotonic() - started < 1
    assert not projector.finish_study({"law/E": 1.0}, [])
    assert not projector.stop()
    assert projector.sent(trial.id) == 0
    (said,) = lab.said
    assert "can't be written to" in said
    assert f"or by `tinyscale track study --storage {lab.storage}`" in said
    assert "secret" not in said
    assert not lab.cursor.exists() or "secret" not in lab.cursor.read_text()


def test_pauses_grow_and_mistakes_are_raised() -> None:
    now, said, tries = 0.0, [], []
    link = Link("http://host", said.append, clock=lambda: now)

    def refuse() -> None:
        tries.append(now)
        raise ConnectionError("refused")

    for second in range(200):
        now = float(second)
        assert not link.attempt(refuse)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] == FIRST_PAUSE_S
    assert gaps == sorted(gaps)
    assert gaps[-1] <= LONGEST_PAUSE_S
    assert link.attempt(lambda: None, at_once=True)
    assert not link.down
    assert len(said) == 2
    with pytest.raises(KeyError):
        link.attempt(lambda: {}["mistake"])


@pytest.mark.slow
def test_server_killed_in_the_middle(
    make_lab: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab()
    lab.study = type(lab.study)(name="study", space=(), tracking=Tracking(uri=f"http://127.0.0.1:{server.port}"))
    first, second, records = lab.trial(16), lab.trial(32), lab.records(1000)
    projector = lab.projector()
    assert projector.project(first, records[:100], 4_500)
    assert projector.finish_study({"law/E": 1.0}, [lab.cursor])

    sent, send = [], Runs.metrics
    killer = threading.Timer(0.02, server.kill)

    def send_and_kill(runs: Runs, run_id: str, points: list[Any]) -> None:
        sent.append(run_id)
        if len(sent) == 3:
            killer.start()  # while this request or one of the next is under way
        send(runs, run_id, points)

    monkeypatch.setattr(Runs, "metrics", send_and_kill)
    assert not projector.project(first, records[100:], 45_000)
    assert len(sent) >= 3
    assert projector.sent(first.id) == 4_500
    started = time.monotonic()
    assert not projector.project(second, records[:50], 2_000)
    assert not projector.finish_trial(second, lab.result(second))
    assert time.monotonic() - started < 1
    assert len(lab.said) == 1

    killer.join()
    server.start()
    assert projector.connect()
    assert "answers again" in lab.said[1]
    assert len(lab.expected(records[:100])) <= len(lab.history(first)) < len(lab.expected(records))
    assert projector.project(first, records[100:], 45_000)
    assert projector.project(second, records[:50], 2_000)
    assert projector.finish_trial(second, lab.result(second))
    assert lab.history(first) == lab.expected(records)
    assert lab.history(second) == lab.expected(records[:50])
    assert len(lab.runs()) == 3
    assert len(lab.said) == 2
