import pytest

from tinyscale.cluster import PreflightError
from tinyscale.cluster.capacity import concurrent_trials
from tinyscale.spec.study import Share


@pytest.mark.parametrize(
    ("share", "nodes", "trials"),
    [
        (Share(), [{"CPU": 2.0}], 2),
        (Share(cpus=2), [{"CPU": 5.0}], 2),
        (Share(workers=2), [{"CPU": 2.0}], 1),
        (Share(workers=3), [{"CPU": 2.0}, {"CPU": 4.0}], 2),  # a trial may span machines
        (Share(gpus=1), [{"CPU": 16.0, "GPU": 4.0}], 4),
        (Share(gpus=0.25), [{"CPU": 16.0, "GPU": 2.0}], 8),
        (Share(gpus=0.4), [{"CPU": 16.0, "GPU": 2.0}], 4),  # a share lies on one GPU
        (Share(gpus=0.1), [{"CPU": 16.0, "GPU": 1.0}], 10),
        (Share(gpus=1, workers=2), [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0}], 1),
    ],
)
def test_concurrent_trials(share, nodes, trials):
    assert concurrent_trials(share, nodes) == trials


@pytest.mark.parametrize(
    ("share", "nodes", "words"),
    [
        (Share(cpus=3), [{"CPU": 2.0}, {"CPU": 2.0}], "3 CPU each.* have: 2 CPU, 2 CPU"),  # a worker may not
        (Share(workers=3), [{"CPU": 2.0}], r"3 worker\(s\) of 1 CPU each"),
        (Share(gpus=1), [{"CPU": 2.0}], "1 CPU and 1 GPU each.*resources.gpus"),
        (Share(), [], "have: none"),
    ],
)
def test_impossible_requests_are_refused_in_plain_words(share, nodes, words):
    with pytest.raises(PreflightError, match=words):
        concurrent_trials(share, nodes)
