"""The stand-in hub as a program of its own, and that it lets in whom a hub lets in."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, errors, snapshot_download


def test_it_runs_alone_fails_on_request_and_ends_with_its_parent() -> None:
    command = [sys.executable, str(Path(__file__).with_name("hub_server.py")), "--follow-stdin"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().strip()
    faults = json.dumps([{"at": "whoami", "status": 418, "said": "no"}]).encode()
    urllib.request.urlopen(f"{url}/control", faults, timeout=10).close()
    with pytest.raises(errors.HfHubHTTPError, match="no"):
        HfApi(endpoint=url, token="hf_adasTokenForTests").whoami()
    assert HfApi(endpoint=url, token="hf_adasTokenForTests").whoami()["name"] == "ada"
    with urllib.request.urlopen(f"{url}/log", timeout=10) as reply:
        assert [entry["status"] for entry in json.load(reply) if entry["at"] == "whoami"] == [418, 200]
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_private_repository_is_seen_by_its_owner_alone(hub: Any) -> None:
    hub.make("ada/x")
    assert HfApi(endpoint=hub.url).model_info("ada/x").private
    for token in (False, "hf_bobsTokenForTests", "hf_unknown"):
        with pytest.raises(errors.HfHubHTTPError, match=r"40[14]"):
            HfApi(endpoint=hub.url, token=token).model_info("ada/x")
    with pytest.raises(errors.HfHubHTTPError, match="403"):
        HfApi(endpoint=hub.url, token="hf_bobsTokenForTests").create_repo("ada/y")
    with pytest.raises(errors.HfHubHTTPError, match="409"):
        HfApi(endpoint=hub.url).create_repo("ada/x")


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # in huggingface_hub's LFS upload
def test_a_commit_is_whole_or_not_at_all(hub: Any, tmp_path: Path) -> None:
    api, first = HfApi(endpoint=hub.url), hub.make("ada/x").head.id
    files = {"a.bin": b"\0" * 100, "folder/b.txt": b"text"}
    adding = [CommitOperationAdd(name, data) for name, data in files.items()]
    done = api.create_commit("ada/x", adding, commit_message="m", parent_commit=first)
    with pytest.raises(errors.HfHubHTTPError, match="412"):
        api.create_commit("ada/x", [CommitOperationAdd("c", b"c")], commit_message="m", parent_commit=first)
    assert hub.repos["ada/x"].head.id == done.oid
    folder = Path(snapshot_download("ada/x", revision=done.oid, cache_dir=tmp_path / "cache"))
    assert {name: (folder / name).read_bytes() for name in files} == files
    (stored,) = [entry for entry in hub.asked("lfs_download") if entry["method"] == "GET"]
    assert "authorization" not in stored["headers"]
