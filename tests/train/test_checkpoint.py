import logging

import pytest
import torch

from tinyscale.train.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint


def checkpoint(step):
    tensors = {"weight/a": torch.full((3,), float(step)), "exp_avg/a": torch.randn(2, 2)}
    return Checkpoint(trial_id="t", step=step, tensors=tensors, loop={"train_s": 0.1 + step, "losses": [1 / 3]})


def test_the_newest_comes_back_as_written_and_two_are_kept(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    written = [checkpoint(step) for step in (5, 10, 15)]
    for each in written:
        save_checkpoint(tmp_path, each)
    found = newest_checkpoint(tmp_path)
    assert (found.trial_id, found.step, found.loop) == ("t", 15, written[-1].loop)
    for name, tensor in written[-1].tensors.items():
        assert torch.equal(found.tensors[name], tensor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


def truncate(path):
    (path / "tensors.safetensors").write_bytes((path / "tensors.safetensors").read_bytes()[:-4])


def flip(path):
    data = bytearray((path / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(data)


def lose_state(path):
    (path / "state.json").unlink()


def tear_state(path):
    (path / "state.json").write_text((path / "state.json").read_text()[:-10])


@pytest.mark.parametrize("damage", [truncate, flip, lose_state, tear_state])
def test_a_broken_one_falls_back_to_the_one_before(tmp_path, caplog, damage):
    for step in (5, 10):
        save_checkpoint(tmp_path, checkpoint(step))
    damage(tmp_path / "step-00000010")
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(tmp_path).step == 5
    assert "step-00000010" in caplog.text
    save_checkpoint(tmp_path, checkpoint(10))
    assert newest_checkpoint(tmp_path).step == 10


def test_what_a_kill_in_mid_write_leaves_is_cleared_away(tmp_path):
    save_checkpoint(tmp_path, checkpoint(5))
    partial = tmp_path / ".partial-step-00000010"
    partial.mkdir()
    (partial / "tensors.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path).step == 5
    save_checkpoint(tmp_path, checkpoint(10))
    assert not partial.exists()
