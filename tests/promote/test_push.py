"""Promotions through the real huggingface_hub client to a hub that fails in every way that hubs do."""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.traceback import Traceback

from tinyscale.promote.hub.errors import HubError
from tinyscale.promote.hub.push import Pushed, check_access, check_repo_name, push

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # in huggingface_hub's LFS upload

REPO = "ada/stories-1M"
TOKEN, READING_TOKEN = "hf_adasTokenForTests", "hf_adasReadingTokenForTests"
CARD = "---\nlicense: cdla-sharing-1.0\n---\n# Stories\n"

Push = Callable[..., Pushed]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A staged folder: a file for LFS, and others."""
    folder = tmp_path / "staged"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def to_hub(hub: Any, folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Push:
    """Push the folder; the client's own pauses between its tries, and ours, take no time."""
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))

    def run(**changes: Any) -> Pushed:
        usual = {"repo": REPO, "tag": "quickstart", "public": False, "message": "quickstart: d96", "pauses_s": (0,) * 4}
        return push(folder, **{**usual, **changes}, say=said.append)

    return run


def held(hub: Any, repo: str = REPO) -> dict[str, bytes]:
    return {name: file.data for name, file in hub.repos[repo].head.files.items()}


def put(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def untouched(hub: Any, repo: str = REPO) -> bool:
    """There is no repository, or one with nothing but what the hub itself put there, private and without tags."""
    found = hub.repos.get(repo)
    return found is None or (found.private and set(found.head.files) == {".gitattributes"} and not found.tags)


def test_one_commit_holds_it_all(hub: Any, folder: Path, to_hub: Push, said: list[str]) -> None:
    done = to_hub()
    repo = hub.repos[REPO]
    assert repo.private
    assert held(hub) == put(folder) | {".gitattributes": held(hub)[".gitattributes"]}
    assert repo.head.files["model.safetensors"].lfs
    assert not repo.head.files["README.md"].lfs
    assert [commit.title for commit in repo.commits] == ["initial commit", "quickstart: d96"]
    assert (done.commit, repo.tags) == (repo.head.id, {"quickstart": repo.head.id})
    assert (done.url, done.created, done.unchanged) == (f"{hub.url}/{REPO}", True, False)
    assert done.files["model.safetensors"] == repo.head.files["model.safetensors"].sha256
    assert said == [
        f"made {hub.url}/{REPO}, private",
        f"commit {done.commit[:12]}: 3 files written (1.02 MB), 0 deleted",
    ]
    (commit,) = hub.asked("commit")
    assert json.loads(commit["body"].splitlines()[0])["value"]["parentCommit"] == repo.commits[0].id


def test_the_same_again_commits_nothing(hub: Any, to_hub: Push) -> None:
    first, hub.log = to_hub(), []
    again = to_hub()
    assert (again.commit, again.unchanged, again.created) == (first.commit, True, False)
    assert {entry["method"] for entry in hub.log} == {"GET"}
    hub.foreign_commit(REPO, "notes.txt")
    assert to_hub().commit == first.commit == hub.repos[REPO].tags["quickstart"]


def test_another_model_replaces_what_was_promoted_and_nothing_else(
    hub: Any, folder: Path, to_hub: Push, said: list[str]
) -> None:
    (folder / "old.json").write_text("{}")
    (folder / "samples").mkdir()
    (folder / "samples" / "1.txt").write_text("Once upon a time")
    first = to_hub()
    hub.foreign_commit(REPO, "notes.txt")
    hub.foreign_commit(REPO, "config.json", b'{"by": "hand"}')
    (folder / "old.json").unlink()
    (folder / "samples" / "1.txt").unlink()
    (folder / "model.safetensors").write_bytes(b"another model")
    hub.page = 2
    second = to_hub()
    assert held(hub) == put(folder) | {name: held(hub)[name] for name in (".gitattributes", "notes.txt")}
    assert len(hub.repos[REPO].commits) == 5
    assert hub.repos[REPO].tags == {"quickstart": second.commit}
    assert f"tag quickstart moved from commit {first.commit[:12]} to {second.commit[:12]}" in said
    assert f"in {REPO}, not from a promotion, and kept: notes.txt" in said
    assert "changed on the hub by somebody else, and replaced (the history keeps it): config.json" in said
    written = [json.loads(line) for line in hub.asked("commit")[-1]["body"].splitlines()]
    assert sorted((op["key"], op["value"].get("path", "")) for op in written[1:]) == [
        ("deletedFile", "old.json"), ("deletedFile", "samples/1.txt"),
        ("file", "config.json"), ("lfsFile", "model.safetensors"),
    ]  # fmt: skip


def test_what_we_pushed_and_another_has_edited_is_not_deleted(hub: Any, folder: Path, to_hub: Push) -> None:
    (folder / "old.json").write_text("{}")
    to_hub()
    hub.foreign_commit(REPO, "old.json", b"edited")
    (folder / "old.json").unlink()
    (folder / "config.json").write_text("{ }")
    to_hub()
    assert held(hub)["old.json"] == b"edited"


def test_a_gitignore_on_the_hub_keeps_no_file_out(hub: Any, folder: Path, to_hub: Push) -> None:
    hub.make(REPO)
    hub.foreign_commit(REPO, ".gitignore", b"*.safetensors\n*.json\n")
    to_hub()
    assert put(folder).items() <= held(hub).items()


@pytest.mark.parametrize(
    ("after", "status"), [(False, 503), (True, 503), (True, 500), (True, 0), (False, 0), (False, 429)]
)
def test_a_commit_that_fails_or_whose_answer_is_lost_is_made_once(
    hub: Any, folder: Path, to_hub: Push, after: bool, status: int, said: list[str]
) -> None:
    hub.faults = [hub.Fault("commit", status, after)]
    done = to_hub()
    repo = hub.repos[REPO]
    assert len(repo.commits) == 2
    assert (done.commit, repo.tags["quickstart"]) == (repo.head.id, repo.head.id)
    assert put(folder).items() <= held(hub).items()
    assert len(hub.asked("commit")) == (1 if after else 2)
    assert any("trying again in 0 s" in line for line in said)
    assert len(hub.asked("lfs_upload")) == 1


def test_a_lost_answer_is_found_below_what_others_committed_since(hub: Any, to_hub: Push) -> None:
    hub.faults = [hub.Fault("commit", 503, after=True), hub.Fault("refs", foreign="notes.txt", skip=1)]
    done = to_hub()
    assert [commit.title for commit in hub.repos[REPO].commits][1:] == ["quickstart: d96", "Upload notes.txt"]
    assert done.commit == hub.repos[REPO].commits[1].id == hub.repos[REPO].tags["quickstart"]


ENDPOINTS = (
    "whoami", "info", "create", "refs", "commits", "tree", "preupload", "lfs_batch", "lfs_upload", "lfs_verify",
    "validate_yaml", "tag",
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", ENDPOINTS)
def test_whatever_fails_twice_is_tried_again(hub: Any, folder: Path, to_hub: Push, at: str, after: bool) -> None:
    hub.faults = [hub.Fault(at, 503, after), hub.Fault(at, 0, after)]
    done = to_hub()
    repo = hub.repos[REPO]
    assert (len(repo.commits), repo.private, repo.tags) == (2, True, {"quickstart": done.commit})
    assert put(folder).items() <= held(hub).items()


@pytest.mark.parametrize("at", [name for name in (*ENDPOINTS, "commit") if name not in ("lfs_verify", "tag")])
def test_a_hub_that_stays_down_is_left_clean_and_the_same_call_goes_on(
    hub: Any, folder: Path, to_hub: Push, at: str
) -> None:
    hub.faults = [hub.Fault(at, 503, times=99)]
    with pytest.raises(HubError, match=r"503 scripted fault; .*the same command goes on") as raised:
        to_hub(pauses_s=(0,))
    assert untouched(hub)
    made = REPO in hub.repos and at != "create"
    left = f"{REPO} was made, and is left empty and private" if made else "nothing was pushed"
    assert left in str(raised.value)
    hub.faults = []
    assert to_hub().created is not made
    assert put(folder).items() <= held(hub).items()


def test_no_tag_is_no_half_promotion(hub: Any, to_hub: Push) -> None:
    hub.faults = [hub.Fault("tag", times=99)]
    with pytest.raises(HubError, match=r"tagging .*commit \w{12} is on the hub, whole; the same command goes on"):
        to_hub()
    hub.faults = []
    assert to_hub().unchanged
    assert hub.repos[REPO].tags == {"quickstart": hub.repos[REPO].head.id}


def test_between_two_uploads_cut_in_the_middle_nothing_is_visible(hub: Any, to_hub: Push) -> None:
    hub.faults = [hub.Fault("lfs_upload", 0, times=3)]
    done = to_hub()
    assert len(hub.asked("lfs_upload")) == 4
    assert hub.repos[REPO].commits[1].id == done.commit


@pytest.mark.parametrize("moment", ["commit", "preupload"])
def test_somebody_else_was_faster(hub: Any, to_hub: Push, moment: str) -> None:
    hub.faults = [hub.Fault(moment, foreign="notes.txt")]
    with pytest.raises(HubError, match=r"somebody else has changed .*run the same command again"):
        to_hub()
    assert [commit.title for commit in hub.repos[REPO].commits] == ["initial commit", "Upload notes.txt"]
    to_hub()
    assert held(hub)["notes.txt"] == b"mine\n"


def test_after_a_fault_somebody_else_was_faster(hub: Any, to_hub: Push) -> None:
    hub.faults = [hub.Fault("commit", 503), hub.Fault("refs", foreign="notes.txt", skip=1)]
    with pytest.raises(HubError, match="somebody else has changed"):
        to_hub()
    assert len(hub.repos[REPO].commits) == 2


def test_the_hub_is_given_the_time_that_it_asks_for(hub: Any, to_hub: Push, said: list[str]) -> None:
    hub.faults = [hub.Fault("commit", 429, retry_after="1")]
    started = time.monotonic()
    to_hub()
    assert time.monotonic() - started > 1
    assert "trying again in 1 s" in said[1]
    hub.faults = [hub.Fault("whoami", 429, retry_after="3600")]
    with pytest.raises(HubError, match="asks to wait 60 minutes"):
        to_hub()


def test_who_may_not(hub: Any, to_hub: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    for token, words in {
        "hf_nobodysToken1234": "refuses the token of HF_TOKEN: log in with `hf auth login`",
        READING_TOKEN: "the token of ada may only read",
        "hf_bobsTokenForTests": "bob may not write to ada/stories-1M",
        "hf_not a token": "holds characters that no token has",
    }.items():
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(HubError, match=words) as raised:
            to_hub()
        assert token not in str(raised.value)
    monkeypatch.delenv("HF_TOKEN")
    hub.log.clear()
    with pytest.raises(HubError, match=r"there is no token for .*`hf auth login`"):
        to_hub()
    assert not hub.log
    assert untouched(hub)


@pytest.mark.parametrize(
    ("at", "status"), [("create", 403), ("commit", 403), ("preupload", 403), ("commit", 401), ("tree", 401)]
)
def test_a_right_that_is_missing_is_asked_for_once(hub: Any, to_hub: Push, at: str, status: int) -> None:
    hub.faults = [hub.Fault(at, status, times=99, said="no {authorization}")]
    with pytest.raises(
        HubError, match="does not allow it to ada .*: 403 no Bearer \\*\\*\\*" if status == 403 else "refuses"
    ):
        to_hub()
    assert len(hub.asked(at)) == 1
    assert untouched(hub)


def test_an_existing_public_repository_needs_the_word(hub: Any, to_hub: Push) -> None:
    hub.make(REPO, private=False)
    for asked in (to_hub, lambda: check_access(REPO, public=False)):
        with pytest.raises(ValueError, match="is public: give --public"):
            asked()
    assert {entry["method"] for entry in hub.log} == {"GET"}
    check_access(REPO, public=True)
    assert not to_hub(public=True).created
    assert not hub.repos[REPO].private


def test_an_existing_private_repository_stays_private(hub: Any, to_hub: Push, said: list[str]) -> None:
    hub.make(REPO)
    to_hub(public=True)
    assert hub.repos[REPO].private
    assert f"{REPO} is private and stays so: it is made public at {hub.url}/{REPO}/settings" in said


def test_public_is_public(hub: Any, to_hub: Push) -> None:
    assert to_hub(public=True, repo="lab/stories").created
    assert not hub.repos["lab/stories"].private


def test_a_renamed_repository_is_named(hub: Any, to_hub: Push) -> None:
    hub.make("ada/new")
    hub.renamed[REPO] = "ada/new"
    with pytest.raises(ValueError, match="is called ada/new now"):
        to_hub()


def test_a_card_that_the_hub_does_not_take_ends_it(hub: Any, folder: Path, to_hub: Push, said: list[str]) -> None:
    (folder / "README.md").write_text("---\nlicense: [a, b]\n---\n")
    with pytest.raises(
        ValueError, match=r'Invalid metadata in README.md.*"license" must be a string.*left empty and private'
    ):
        to_hub()
    (folder / "README.md").write_text("no metadata\n")
    to_hub()
    assert any("the hub warns" in line and "empty or missing yaml metadata" in line for line in said)


def test_what_is_no_plain_file_stays_here(hub: Any, folder: Path, to_hub: Push) -> None:
    (folder / ".env").write_text("SECRET=1")
    with pytest.raises(ValueError, match="is hidden"):
        to_hub()
    (folder / ".env").unlink()
    (folder / "link").symlink_to("/etc/hosts")
    with pytest.raises(ValueError, match="is a link"):
        to_hub()
    assert not hub.log


@pytest.mark.parametrize(
    "repo",
    ["stories", "a/b/c", "datasets/ada/x", "ada/x--y", "ada/x.git", "ada/-x", "ada/ü", "", "/x", "ada/" + "x" * 97],
)
def test_names_that_the_hub_would_refuse(repo: str) -> None:
    with pytest.raises(ValueError, match="give OWNER/NAME"):
        check_repo_name(repo)


def test_nobody_listens(to_hub: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://me:secret@127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(
        HubError, match=r"http://\*\*\*@127.0.0.1:\d+, asking whose the token is: can't be reached"
    ) as raised:
        to_hub()
    assert "secret" not in str(raised.value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        to_hub()


def test_a_hub_without_xet_is_sent_lfs(hub: Any, folder: Path, to_hub: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    to_hub()
    assert (len(hub.asked("xet")), len(hub.asked("lfs_upload"))) == (1, 1)
    assert put(folder).items() <= held(hub).items()


def test_the_token_is_shown_nowhere(
    hub: Any, to_hub: Push, said: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = io.StringIO()
    for fault in (
        hub.Fault("whoami", 401, said="bad {authorization}"),
        hub.Fault("create", 403, said="bad {authorization}"),
        hub.Fault("lfs_upload", 503, times=99, said="bad {authorization}"),
        hub.Fault("commit", 503, times=99, said="bad {authorization}"),
        hub.Fault("commit", 400, said="bad {authorization}"),
        hub.Fault("tag", 0, times=99),
    ):
        hub.faults = [fault]
        with pytest.raises(HubError) as raised:
            to_hub(pauses_s=(0,))
        assert raised.value.__cause__ is None
        shown = Traceback.from_exception(type(raised.value), raised.value, raised.tb, show_locals=True)
        Console(file=seen, width=1000).print(shown)
        seen.write("".join(traceback.format_exception(raised.value)) + repr(raised.value))
    hub.faults = []
    to_hub()
    out, err = capfd.readouterr()
    everything = "\n".join((seen.getvalue(), *said, out, err, caplog.text))
    assert "bad Bearer ***" in everything
    assert TOKEN not in everything
    assert "secret-of-the-storage" not in everything
    for entry in hub.log:
        assert TOKEN not in entry["path"]
        assert ("authorization" in entry["headers"]) == (entry["at"] not in ("lfs_upload", "lfs_download")), entry
        assert "torch" not in entry["headers"]["user-agent"]
        assert "agent-harnesses" not in entry["path"]


def test_killed_in_the_middle_of_an_upload(hub: Any, folder: Path, to_hub: Push) -> None:
    hub.faults = [hub.Fault("lfs_upload", stall_s=60)]
    code = (
        "import sys; from pathlib import Path; from tinyscale.promote.hub.push import push\n"
        f"push(Path(sys.argv[1]), repo={REPO!r}, tag='quickstart', public=False, message='m', say=print)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not hub.asked("lfs_upload"):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert untouched(hub)
    assert not hub.repos[REPO].objects
    done = to_hub()
    assert (done.created, hub.repos[REPO].commits[1].id) == (False, done.commit)
    assert put(folder).items() <= held(hub).items()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, as transformers saves them."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = {word: number for number, word in enumerate(("<|endoftext|>", "once", "upon", "a", "time"))}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = Whitespace()
    config = LlamaConfig(vocab_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                         bos_token_id=0, eos_token_id=0, pad_token_id=0)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
repo, revision = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision)
model = AutoModelForCausalLM.from_pretrained(repo, revision=revision)
ids = model.generate(**tokenizer("once upon a", return_tensors="pt"), max_new_tokens=5, do_sample=False)
print(type(model).__name__, tokenizer.decode(ids[0]))
"""


@pytest.mark.slow
def test_a_stranger_loads_it_by_its_name_and_tag(hub: Any, model_folder: Path, tmp_path: Path) -> None:
    done = push(model_folder, repo=REPO, tag="quickstart", public=True, message="m", say=print)
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    environment |= {"HF_HOME": str(tmp_path / "stranger")}
    command = [sys.executable, "-P", "-c", LOAD, REPO, done.tag]
    loaded = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.startswith("LlamaForCausalLM once upon a")
    hub.repos[REPO].private = True
    environment |= {"HF_HOME": str(tmp_path / "another")}
    refused = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert refused.returncode != 0
