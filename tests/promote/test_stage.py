"""The staged folder: an allow-list, no links, no secrets, nothing of this machine."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tinyscale.promote.hub.secret_scan import find_secrets
from tinyscale.promote.hub.stage import ALLOWED, check_staged, stage

PNG = b"\x89PNG\r\n\x1a\n rest"
WEIGHTS = save({"w": torch.arange(4.0)}, metadata={"format": "pt"})
FILES: dict[str, bytes | str | Path] = {
    "README.md": "---\nlicense: mit\n---\n# tiny\n",
    "config.json": '{"model_type": "llama"}',
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "model.safetensors": WEIGHTS,
    "law.png": PNG,
    "stories.jsonl": '{"completion": "a\u2028b"}\n{"completion": "c"}\n',
}
SECRETS = {
    "Hugging Face token": "hf_" + "aB3" * 12,
    "API key of OpenAI's kind": "sk-proj-" + "x1Y" * 10,
    "GitHub token": "ghp_" + "a1B" * 12,
    "GitLab token": "glpat-" + "a1B" * 7,
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "Google API key": "AIza" + "Sy0" * 11 + "ab",
    "Slack token": "xoxb-" + "1234567890-abc",
    "JSON web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0.sig",
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "authorization header": '"Authorization": "Bearer ' + 'abcdef123456"',
    "URL with a password": "postgresql://me:" + "hunter2@host/db",
}
"""Put together here, so that no scanner takes this file for a leak."""


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    folder = tmp_path / "someone--tiny"
    stage(folder, FILES, environment={})
    return folder


def test_what_is_given_is_what_lies_there(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(WEIGHTS)
    folder = tmp_path / "deep" / "someone--tiny"
    files = {**FILES, "model.safetensors": source}
    paths = stage(folder, files, environment={})
    assert [path.name for path in paths] == sorted(FILES)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert not (folder / "model.safetensors").is_symlink()
    assert [path.name for path in folder.parent.iterdir()] == ["someone--tiny"], "nothing is left beside it"
    assert check_staged(folder, environment={}) == paths


def test_a_second_time_replaces_the_first_whole(staged: Path) -> None:
    again = {name: content for name, content in FILES.items() if name != "law.png"}
    assert stage(staged, {**again, "README.md": "---\n---\nnew"}, environment={}) == sorted(staged.iterdir())
    assert (staged / "README.md").read_text().endswith("new")
    assert not (staged / "law.png").exists()


def test_a_refused_one_leaves_the_old_one_alone(staged: Path) -> None:
    with pytest.raises(ValueError, match=r"README.md: line 2: Hugging Face token"):
        stage(staged, {**FILES, "README.md": f"one\n{SECRETS['Hugging Face token']}\n"}, environment={})
    assert (staged / "README.md").read_text() == FILES["README.md"]
    assert len(list(staged.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "name", [".env", "a/b", "../README.md", "modeling_tiny.py", "pytorch_model.bin", "config.JSON"]
)
def test_only_names_of_the_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"may not be published; allowed are README\.md, config\.json"):
        stage(tmp_path / "x", {**FILES, name: "x"}, environment={})
    assert list(tmp_path.iterdir()) == []


def test_a_link_or_folder_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    for source in (tmp_path / "link", tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match="no plain file"):
            stage(tmp_path / "x", {**FILES, "config.json": source}, environment={})


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, staged: Path) -> None:
    (staged / "diary.txt").write_text("x")
    with pytest.raises(ValueError, match=r"holds 'diary.txt', which no promotion wrote"):
        stage(staged, FILES, environment={})
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for place in ("file", "link"):
        with pytest.raises(ValueError, match="is no folder"):
            stage(tmp_path / place, FILES, environment={})


def make_link(folder: Path) -> None:
    (folder / "law.png").unlink()
    (folder / "law.png").symlink_to("/etc/hostname")


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (make_link, "law.png: a link"),
        (lambda folder: (folder / "law.json").mkdir(), "law.json: a folder"),
        (write(".env", "A=1"), ".env: a dot file"),
        (write("notes.txt", "x"), "notes.txt: not among the files"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing"),
        (write("config.json", '{"a": [{"auto_map": {"AutoModel": "x.Y"}}]}'), "config.json: the key 'auto_map'"),
        (write("config.json", "{"), "config.json: not JSON"),
        (write("tokenizer.json", b"\xff\xfe"), "tokenizer.json: not UTF-8"),
        (write("README.md", " \n"), "README.md: empty"),
        (write("law.png", "<svg onload=alert(1)>"), "law.png: no PNG"),
        (write("stories.jsonl", "{}\nno\n"), "stories.jsonl: not JSON"),
        (
            write("study.json", '{\n"a": "/home/me/x"}'),
            "study.json: line 2: a path of somebody's machine, '/home/me/x'",
        ),
        (write("README.md", "see C:\\Users\\me"), "README.md: line 1: a path of somebody's machine"),
        (write("model.safetensors", b""), "model.safetensors: no safetensors file"),
        (write("model.safetensors", b"\x80\x04 a pickle"), "model.safetensors: no safetensors file"),
        (
            write("model.safetensors", len(HEADER).to_bytes(8, "little") + HEADER),
            "model.safetensors: no safetensors file",
        ),
        (write("model.safetensors", save({})), "model.safetensors: no tensor"),
        (write("model.safetensors", save({"w": torch.zeros(1)})), "metadata do not say format: pt"),
        (
            write("model.safetensors", save({"w": torch.zeros(1)}, {"format": "pt", "by": SECRETS["GitHub token"]})),
            "model.safetensors: line 1: GitHub token",
        ),
    ],
)
def test_a_folder_is_looked_over_as_it_lies(staged: Path, spoil: Callable[[Path], object], told: str) -> None:
    spoil(staged)
    with pytest.raises(ValueError, match="may not be pushed") as caught:
        check_staged(staged, environment={})
    assert told in str(caught.value)


def test_all_problems_are_said_at_once(staged: Path) -> None:
    (staged / ".env").write_text("x")
    (staged / "README.md").unlink()
    with pytest.raises(ValueError, match="may not be pushed") as caught:
        check_staged(staged, environment={})
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ValueError, match="is no folder: stage the model first"):
        check_staged(staged / "nothing")


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_found_by_their_shape_and_never_shown(staged: Path, kind: str) -> None:
    (staged / "README.md").write_text(f"one\ntwo {SECRETS[kind]} end\n")
    with pytest.raises(ValueError, match=f"README.md: line 2: {kind}") as caught:
        check_staged(staged, environment={})
    assert SECRETS[kind][-8:] not in str(caught.value)


def test_secrets_of_this_machine_are_found_wherever_they_stand(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = 'tr0ub4dor "& 3'
    (staged / "study.json").write_text(json.dumps({"a": value}))
    (staged / "README.md").write_text(f"{value} and qW3rTy88")
    monkeypatch.setenv("MY_DB_PASSWORD", value)
    monkeypatch.setenv("APIKEY", "qW3rTy88")
    with pytest.raises(ValueError, match="may not be pushed") as caught:
        check_staged(staged)
    said = str(caught.value)
    assert "study.json: line 1: value of the environment variable MY_DB_PASSWORD" in said
    assert "README.md: line 1: value of the environment variable MY_DB_PASSWORD" in said
    assert "README.md: line 1: value of the environment variable APIKEY" in said
    assert value not in said
    assert "qW3rTy88" not in said
    assert find_secrets("x tok-in-use y", tokens=["tok-in-use", ""]) == [("token in use", 1)]


def test_ordinary_things_are_no_secrets() -> None:
    environment = {
        "TOKENIZERS_PARALLELISM": "secretive-value-1", "HF_TOKEN": "short", "KEYBOARD": "qwertzuiop1",
        "RATE_KEY": "disabled", "TOKEN_LIMIT": "12345678", "MONKEY": "bananas-are-1", "PWD": "/srv/somewhere/1",
    }  # fmt: skip
    text = " ".join([*environment.values(), "risk-averse sk-learn hf_hub_download AKIA http://host:80/a@b key: value"])
    assert find_secrets(text, environment) == []
    noise = torch.randint(0, 256, (2_000_000,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert find_secrets(noise.numpy().tobytes()) == []
    assert find_secrets(base64.b64encode(noise[:200_000].numpy().tobytes())) == []


def test_a_real_tokenizer_and_real_stories_raise_no_alarm(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from tinyscale.data.stories import generate_stories

    stories = [story.text for story in generate_stories(0, 2_000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=2_048, show_progress=False, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(stories, trainer)
    assert find_secrets(tokenizer.to_str()) == []
    assert find_secrets("\n".join(stories)) == []


def test_the_list_holds_nothing_that_runs() -> None:
    assert not any(name.startswith(".") or "/" in name or name.endswith((".py", ".bin", ".pkl")) for name in ALLOWED)
