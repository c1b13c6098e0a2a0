import pytest

from tinyscale.cluster import PreflightError
from tinyscale.cluster.capacity import concurrent_trials
from tinyscale.spec.study import Resources


@pytest.mark.parametrize(
    ("resources", "nodes", "trials"),
    [
        (Resources(), [{"CPU": 2.0}], 2),
        (Resources(cpus=2), [{"CPU": 5.0}], 2),
        (Resources(workers=2), [{"CPU": 2.0}], 1),
        (Resources(workers=3), [{"CPU": 2.0}, {"CPU": 4.0}], 2),  # a trial may span machines
        (Resources(gpus=1), [{"CPU": 16.0, "GPU": 4.0}], 4),
        (Resources(gpus=0.25), [{"CPU": 16.0, "GPU": 2.0}], 8),
        (Resources(gpus=0.4), [{"CPU": 16.0, "GPU": 2.0}], 4),  # a share lies on one GPU
        (Resources(gpus=0.1), [{"CPU": 16.0, "GPU": 1.0}], 10),
        (Resources(gpus=1, workers=2), [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0}], 1),
    ],
)
def test_concurrent_trials(resources, nodes, trials):
    assert concurrent_trials(resources, nodes) == trials


@pytest.mark.parametrize(
    ("resources", "nodes", "words"),
    [
        (Resources(cpus=3), [{"CPU": 2.0}, {"CPU": 2.0}], "3 CPU each.* have: 2 CPU, 2 CPU"),  # a worker may not
        (Resources(workers=3), [{"CPU": 2.0}], r"3 worker\(s\) of 1 CPU each"),
        (Resources(gpus=1), [{"CPU": 2.0}], "1 CPU and 1 GPU each.*resources.gpus"),
        (Resources(), [], "have: none"),
    ],
)
def test_impossible_requests_are_refused_in_plain_words(resources, nodes, words):
    with pytest.raises(PreflightError, match=words):
        concurrent_trials(resources, nodes)
