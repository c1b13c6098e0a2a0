"""One trial over two nodes of a Ray cluster on this machine; a node is lost in mid-trial."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from tinyscale.cluster import Event, TrialReported, TrialRestarted, run_trials
from tinyscale.cluster.session import OBJECT_STORE_BYTES
from tinyscale.results.journal import read_journal
from tinyscale.spec import Job, Study, TrialResult, read_json, write_json
from tinyscale.spec.study import Resources

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]
STEPS = 200


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without CPUs and three nodes of one each: a trial of two workers needs two of them, one is to spare."""
    small = {"object_store_memory": OBJECT_STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(3):
        cluster.add_node(num_cpus=1, **small)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def busy_nodes() -> set[str]:
    """Ids of the nodes that a worker of the trial occupies."""
    free = ray._private.state.available_resources_per_node()
    return {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")} - {
        name for name, resources in free.items() if resources.get("CPU")
    }


def trained_by_torchrun(job: Job, folder: Path) -> TrialResult:
    """The same trial, with two processes of one machine and no Ray."""
    write_json(folder / "job.json", replace(job, folder=str(folder)))
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launcher, "-m", "tinyscale.train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    ran = subprocess.run([*command, str(folder / "job.json")], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return read_json(TrialResult, folder / "result.json")


def test_a_trial_over_two_nodes_outlives_one_of_them(cluster, store, make_jobs, tmp_path):
    study = Study(name="tiny", space=({},), resources=Resources(workers=2, engine="zero", max_failures=2))
    (job,) = make_jobs(store, range(1), steps=STEPS, engine="zero", workers=2)
    lost: list[str] = []
    events: list[Event] = []
    used: list[set[str]] = []
    """Nodes occupied at each report since the loss: at first the lost one may still count, at last none need be."""

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialReported):
            used.append(busy_nodes())
            if event.record.step >= 50 and not lost and len(used[-1]) == 2:
                node = next(n for n in cluster.worker_nodes if n.node_id in used[-1])
                lost.append(node.node_id)
                used.clear()
                cluster.remove_node(node, allow_graceful=False)

    outcome = run_trials(store, [job], study, address=cluster.address, on_event=on_event, should_stop=lambda: False)

    assert outcome.finished == (job.trial.id,)
    assert [event for event in events if isinstance(event, TrialRestarted)]
    assert lost
    assert {node.node_id for node in cluster.worker_nodes} in used, "it goes on at the two that are left"
    folder = store.trial(job.trial.id)
    assert [record.step for record in read_journal(folder.journal)[0]] == list(range(10, STEPS + 1, 10))
    result, alone = read_json(TrialResult, folder.result), trained_by_torchrun(job, tmp_path / "alone")
    assert (result.workers, result.points) == (2, alone.points)
    assert result.model_digest == alone.model_digest
