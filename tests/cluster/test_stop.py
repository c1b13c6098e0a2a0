import subprocess
import sys
import time

from tinyscale.cluster import request_stop
from tinyscale.cluster.folders import stop_file
from tinyscale.cluster.stop import Halt, StopSeen


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
