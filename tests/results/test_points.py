import pytest

from tinyscale.results.points import points_table, read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Point, TrialResult, write_json


def point(trial_id):
    return Point(
        trial_id=trial_id, params_total=10, params_non_embedding=5, hidden_size=8, num_layers=1, vocab_size=300,
        tokens=100, text_bytes=250.0, flops=6e3, loss=2.0, bpb=1.1, learning_rate=1e-3, seed=0,
    )  # fmt: skip


def test_only_done_trials_give_points(tmp_path):
    store = StudyStore(tmp_path)
    assert read_results(store) == {}
    for trial_id, status in (("b", "done"), ("a", "done"), ("c", "diverged")):
        result = TrialResult(trial_id=trial_id, name=trial_id, status=status, points=(point(trial_id),))
        write_json(store.trial(trial_id).result, result)
    store.trial("running").checkpoints.mkdir(parents=True)
    results = read_results(store)
    assert list(results) == ["a", "b", "c"]
    assert [p.trial_id for p in points_table(results)] == ["a", "b"]
    assert points_table(results)[0] == point("a")


def test_a_broken_result_is_named(tmp_path):
    store = StudyStore(tmp_path)
    store.trial("a").path.mkdir(parents=True)
    store.trial("a").result.write_text("{")
    with pytest.raises(ValueError, match=r"a/result\.json"):
        read_results(store)
