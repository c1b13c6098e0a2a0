"""What a process trained before leaves no trace: any order of trials gives the same bits."""

from itertools import permutations
from pathlib import Path

import pytest

from tinyscale.results.store import TrialFolder
from tinyscale.train.loop import run


@pytest.mark.parametrize("engine", ["torch", "zero"])
def test_any_order_of_trials_gives_the_same_bits(make_job, engine):
    kinds = {
        "plain": {"seed": 1},
        "trunk": {"schedule": "trunk", "branches": (10 * 256,), "seed": 2},
        "wide": {"model": {"hidden_size": 32, "intermediate_size": 48, "dropout": 0.0}, "seed": 3},
        "diverging": {"learning_rate": 1e30, "warmup_steps": 0},
    }
    found: dict[str, set[str]] = {name: set() for name in kinds}
    for number, order in enumerate([*permutations(kinds)][::5]):
        for name in order:
            job = make_job(f"{number}-{name}", engine=engine, **kinds[name])
            result = run(job, lambda record: None)
            found[name].add(result.model_digest)
            assert TrialFolder(Path(job.folder)).result.exists()
    assert {name: len(digests) for name, digests in found.items()} == dict.fromkeys(kinds, 1)
    assert len(set.union(*found.values())) == 4
