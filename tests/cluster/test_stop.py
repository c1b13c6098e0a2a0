import os
import subprocess
import sys
import time

import pytest

from tinyscale.cluster import StudyLock, request_stop
from tinyscale.cluster.folders import stop_file
from tinyscale.cluster.stop import Halt, StopSeen, stop_study


def test_a_stop_file_of_an_earlier_launch_stops_nothing(store):
    store.path.mkdir(parents=True)
    request_stop(store)
    assert not Halt(store, lambda: False, None)()


def test_callers_wish_reaches_the_workers(store):
    wish = False
    halt, worker = Halt(store, lambda: wish, None), StopSeen(stop_file(store))
    assert not halt()
    assert not worker()
    wish = True
    assert halt()
    assert halt.reason == "interrupted"
    time.sleep(0.25)
    assert worker()
    halt.clear()
    assert worker(), "once told, a worker stays told"


def test_deadline(store):
    assert not Halt(store, lambda: False, time.time() + 60)()
    halt = Halt(store, lambda: False, time.time())
    assert halt()
    assert halt.reason == "budget"


def test_another_process_may_stop_the_study(store):
    halt = Halt(store, lambda: False, None)
    ask = "import sys; from pathlib import Path; from tinyscale.cluster import request_stop; "
    ask += "from tinyscale.results.store import StudyStore; request_stop(StudyStore(Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", ask, str(store.path)], check=True)
    assert halt()
    assert halt.reason == "interrupted"


def test_the_room_is_light_to_enter():
    code = "import sys, tinyscale.cluster; print(sorted({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_request_reaches_a_driver_that_is_still_preparing_and_no_later_one(store):
    with StudyLock(store.lock):
        request_stop(store)
        halt = Halt(store, lambda: False, None)
        assert halt(), "asked before the trials of this driver began"
        halt.clear()
        assert Halt(store, lambda: False, None)(), "its next phase does not begin either"
        store.lock.write_text('{"pid": 1, "host": "another", "started": "later"}')
        assert not Halt(store, lambda: False, None)()
        assert not stop_file(store).exists()


def test_stop_waits_no_longer_than_asked_and_says_who_runs(store):
    assert not stop_study(store, wait_s=5)
    with StudyLock(store.lock), pytest.raises(TimeoutError, match=rf"still runs after 0\.3 s .*\"pid\": {os.getpid()}"):
        stop_study(store, wait_s=0.3)
    assert stop_file(store).exists(), "the request stands"
