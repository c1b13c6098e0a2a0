import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tinyscale.model.store import load_model, save_model
from tinyscale.model.transformer import Transformer


@pytest.fixture
def saved(make_config, tmp_path):
    tokenizer = tmp_path / "any.json"
    tokenizer.write_text('{"version": "1.0"}')
    model = Transformer(make_config("gptneo", sliding_window=4, tie_embeddings=False))
    model.init_weights(3)
    save_model(tmp_path / "model", model.config, model.state_dict(), tokenizer)
    return tmp_path / "model", model, tokenizer


def test_a_model_comes_back_as_it_was(saved):
    folder, model, tokenizer = saved
    loaded = load_model(folder)
    assert loaded.config == model.config
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert (folder / "tokenizer.json").read_text() == tokenizer.read_text()
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_folder_is_replaced_whole_and_nothing_is_left_beside_it(saved):
    folder, model, tokenizer = saved
    (folder / "stray").touch()
    (folder.parent / ".model.partial").mkdir()
    (folder.parent / ".model.partial" / "of a killed run").touch()
    model.init_weights(4)
    save_model(folder, model.config, model.state_dict(), tokenizer)
    assert torch.equal(load_model(folder).head.weight, model.head.weight)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["any.json", "model"]


def test_a_failed_save_leaves_the_old_model(saved, tmp_path):
    folder, model, _ = saved
    with pytest.raises(FileNotFoundError):
        save_model(folder, model.config, model.state_dict(), tmp_path / "no such tokenizer")
    assert load_model(folder).config == model.config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update({"head.weight": s["head.weight"][1:]}), r"'head\.weight' has shape \(60, 24\).*\(61, 24\)"),
        (lambda s: s.pop("final_norm.bias"), r"'final_norm\.bias' has shape none, it is missing"),
        (lambda s: s.update({"extra": torch.zeros(2)}), r"'extra' has shape \(2,\).*no such tensor"),
    ],
)
def test_the_tensor_that_misfits_is_named(saved, change, words):
    folder, _, _ = saved
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=words):
        load_model(folder)


def test_missing_and_broken_files_are_named(saved):
    folder, _, _ = saved
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model\.safetensors can't be read"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=r"holds no model\.safetensors; give the folder of a finished model"):
        load_model(folder)
