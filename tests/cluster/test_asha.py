"""Learning rates stopped early: what the rule makes of journals, and a real study that is killed and goes on."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tinyscale.cluster import Event, StudyLock, TrialEnded, TrialReported
from tinyscale.cluster.asha import Cell
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.study import Launched, run_study
from tinyscale.cluster.survivors import revive
from tinyscale.plan.arms import first_rung, rate_arms
from tinyscale.plan.planner import PlanError, make_plan
from tinyscale.results.journal import Journal, read_journal
from tinyscale.results.state import trial_state
from tinyscale.results.store import StudyStore
from tinyscale.spec import BuiltinCorpus, Record, Study, Trial, TrialResult, read_json, to_json, write_json
from tinyscale.spec.study import LawOptions, Resources, Tracking

STUDY = Study(
    name="rates",
    corpus=BuiltinCorpus(train_stories=300, valid_stories=30),
    model={"num_layers": 1, "vocab_size": 280, "context_length": 32},
    train={"batch_size": 4, "eval_bytes": 2_000, "eval_every": 200, "checkpoint_every": 500, "schedule": "trunk"},
    space=(
        {"hidden_size": 32, "learning_rate": (3e-3, 1e-6, 2e-6), "tokens": (128_000, 160_000)},
        {"hidden_size": (16, 24), "tokens": (32_000, 64_000, 128_000)},
    ),
    resources=Resources(scheduler="asha", engine="torch"),
    law=LawOptions(bootstraps=60),
    tracking=Tracking(uri="http://127.0.0.1:1"),  # nobody there: a study goes on without it
)


def cell_of(**changes: object) -> tuple[Trial, ...]:
    (arms,) = rate_arms(make_plan(replace(STUDY, **changes)).trials)  # type: ignore[arg-type]
    return arms


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "runs" / STUDY.name)


@dataclass
class Book:
    """Writes journals and results as trials would."""

    store: StudyStore
    clock: float = 0.0

    def hear(self, trial: Trial, step: int, bpb: float) -> None:
        self.clock += 1.0
        self.store.trial(trial.id).path.mkdir(parents=True, exist_ok=True)
        with Journal(self.store.trial(trial.id).journal) as journal:
            journal.append(Record(step=step, tokens=step, time_s=self.clock, metrics={"eval/bpb": bpb}))

    def end(self, trial: Trial, status: str) -> None:
        result = TrialResult(trial_id=trial.id, name=trial.name, status=status)  # type: ignore[arg-type]
        write_json(self.store.trial(trial.id).result, result)


@pytest.fixture
def book(store: StudyStore) -> Book:
    return Book(store)


def stops(store: StudyStore, arms: tuple[Trial, ...]) -> list[str]:
    cell = Cell(store, arms)
    cell.listen()
    return list(cell.stops)


def test_cells_differ_by_the_rate_alone_and_hold_outs_are_in_none() -> None:
    grid = {"hidden_size": 16, "learning_rate": (1e-3, 2e-3), "tokens": 64_000}
    study = replace(
        STUDY,
        train={"batch_size": 4, "eval_every": 100},
        space=(grid | {"seed": (0, 1)}, {"hidden_size": 24, "tokens": 64_000}),
        holdout=(grid | {"hidden_size": 32},),
    )
    cells = rate_arms(make_plan(study).trials)
    assert [[(arm.train.seed, arm.train.learning_rate) for arm in cell] for cell in cells] == [
        [(seed, rate) for rate in (1e-3, 2e-3)] for seed in (0, 1)
    ]
    assert {arm.model.hidden_size for cell in cells for arm in cell} == {16}
    assert first_rung(cells[0][0]) == 100  # a warm-up of 50 of 500 steps
    with pytest.raises(PlanError, match=r"asha.*train.eval_every is 0.*give it a number of steps"):
        make_plan(replace(study, train={"batch_size": 4, "eval_every": 0}))
    make_plan(replace(study, train={"eval_every": 0}, space=({"hidden_size": 16, "tokens": 64_000},), holdout=()))


def test_an_arm_that_falls_behind_is_stopped_whoever_hears_of_it(store: StudyStore, book: Book) -> None:
    good, bad, worse = arms = cell_of()
    driver = Cell(store, arms)
    book.hear(good, 200, 1.0)
    book.hear(bad, 200, 1.2)
    driver.listen()
    assert driver.stops == {
        bad.id: f"stopped early by ASHA: 1.2000 bpb at step 200 of {bad.steps:,}, where the best third of the "
        "1 learning rate(s) before it had at most 1.0000"
    }
    book.hear(worse, 200, 1.1)  # the best third of 1.0 and 1.2, as numpy cuts it: 1.067
    driver.listen()
    assert list(driver.stops) == stops(store, arms) == [bad.id, worse.id], "a new driver reads the same journals"
    book.end(good, "done")
    assert stops(store, arms) == [bad.id, worse.id], "a rate that is through still sets the mark"


def test_the_last_that_stands_is_never_stopped(store: StudyStore, book: Book) -> None:
    good, bad, worse = arms = cell_of()
    book.hear(good, 200, 1.0)
    book.hear(bad, 200, 1.2)
    book.end(good, "diverged")
    book.end(bad, "pruned")
    book.hear(worse, 200, 1.3)
    assert stops(store, arms) == []


def test_a_trunk_with_a_point_behind_it_is_never_stopped(store: StudyStore, book: Book) -> None:
    good, bad, worse = arms = cell_of()
    assert good.lines[0].end == 1_000
    for trial in (bad, good):
        for step in (200, 600):
            book.hear(trial, step, 1.0)
    for trial, bpb in ((good, 0.5), (bad, 2.0)):
        book.hear(trial, 1_800, bpb)
    assert stops(store, arms) == []
    book.hear(worse, 200, 2.0)
    assert stops(store, arms) == [worse.id]
    book.hear(worse, 1_000, 2.0)
    assert stops(store, arms) == [], "heard too late: the first budget is spent"


def test_a_cell_whose_best_is_lost_takes_one_back(store: StudyStore, book: Book) -> None:
    good, bad, worse = arms = cell_of()
    for trial, bpb in ((good, 1.0), (bad, 1.2), (worse, 1.3)):
        book.hear(trial, 200, bpb)
    book.end(bad, "pruned")
    book.end(worse, "pruned")
    assert revive(store, arms) == [], "the best is on its way"
    book.end(good, "failed")
    assert revive(store, arms) == [], "the next launch tries it again"
    book.end(good, "diverged")
    assert revive(store, arms) == [bad]
    assert not store.trial(bad.id).result.exists()
    assert revive(store, arms) == []
    assert stops(store, arms) == [], "it stands alone"


def launch(store: StudyStore, cache: Path, scheduler: str) -> tuple[Launched, list[Event]]:
    study = replace(STUDY, resources=replace(STUDY.resources, scheduler=scheduler))  # type: ignore[arg-type]
    events: list[Event] = []
    with StudyLock(store.lock):
        launched = run_study(
            make_plan(study), store.path.parent, cache=cache, address=None,
            on_event=events.append, say=lambda line: None, should_stop=lambda: False,
        )  # fmt: skip
    return launched, events


def worked_on(events: list[Event]) -> set[str]:
    return {event.trial_id for event in events if isinstance(event, TrialReported)}


DRIVER = """
import json, sys
from pathlib import Path
from tinyscale.cluster import StudyLock
from tinyscale.cluster.study import run_study
from tinyscale.plan.planner import make_plan
from tinyscale.results.store import StudyStore
from tinyscale.spec import Study, from_json

storage, cache, study = Path(sys.argv[1]), Path(sys.argv[2]), from_json(Study, json.loads(sys.argv[3]))
with StudyLock(StudyStore(storage / study.name).lock):
    run_study(make_plan(study), storage, cache=cache, address=None, on_event=lambda event: None,
              say=lambda line: None, should_stop=lambda: False)
"""


@pytest.fixture
def one_core() -> Iterator[None]:
    """One trial after the other, here and in child processes: who arrives first at a rung is no matter of luck."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own code warns of much
def test_a_study_stops_bad_rates_survives_a_kill_and_can_run_them_after_all(
    store: StudyStore, tmp_path: Path, one_core: None
) -> None:
    cache = tmp_path / "cache"
    bad = rate_arms(make_plan(STUDY).trials)[0][1:]
    words = [sys.executable, "-c", DRIVER, str(store.path.parent), str(cache), json.dumps(to_json(STUDY))]
    driver = subprocess.Popen(words)
    try:
        while not any(trial_state(store.trial(t.id)).state == "pruned" for t in bad):
            assert driver.poll() is None, "it ended too early"
            time.sleep(0.02)
    finally:
        driver.kill()
        driver.wait()
    before = {
        t.id: store.trial(t.id).journal.read_bytes() for t in bad if trial_state(store.trial(t.id)).state == "pruned"
    }
    with ray_session(None, STUDY.resources):
        go_on(store, cache, before)


def go_on(store: StudyStore, cache: Path, before: dict[str, bytes]) -> None:
    """After the kill: under asha to the end, then with fifo.

    :param before: journals of the trials that the killed driver had stopped.
    """
    trials = make_plan(STUDY).trials
    bad = rate_arms(trials)[0][1:]
    launched, events = launch(store, cache, "asha")
    assert not launched.failed
    assert not worked_on(events) & before.keys(), "what the killed driver stopped stays stopped"
    assert all(store.trial(name).journal.read_bytes() == journal for name, journal in before.items())
    assert {t.id: trial_state(store.trial(t.id)).state for t in trials} == {
        t.id: "pruned" if t in bad else "done" for t in trials
    }
    assert launched.law.law
    for trial in bad:
        reason = launched.law.law.excluded[trial.id]
        assert reason.startswith("pruned: stopped early by ASHA: ")
        assert " of 1,450, where the best third of the " in reason
        assert read_journal(store.trial(trial.id).journal)[0][-1].step < 1_000
    assert {event.trial_id: event.result.status for event in events if isinstance(event, TrialEnded)}.items() >= {
        (t.id, "pruned") for t in bad if t.id not in before
    }
    (rates,) = {(cell.rates, cell.pruned) for cell in launched.law.analysis.rates}  # at each of two budgets
    assert rates == ((3e-3,), (1e-6, 2e-6))

    assert not launch(store, cache, "asha")[1], "nothing is left to run"

    began = time.time()
    _, events = launch(store, cache, "fifo")
    assert worked_on(events) == {t.id for t in bad}
    result = read_json(TrialResult, store.trial(bad[0].id).result)
    assert (result.status, len(result.points)) == ("done", 2)
    assert result.started_s < began, "it went on from its checkpoint"
    steps = [record.step for record in read_journal(store.trial(bad[0].id).journal)[0]]
    assert steps == sorted(set(steps))
