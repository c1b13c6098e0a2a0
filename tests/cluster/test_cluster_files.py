"""The launcher files against Ray's own schema and our pins. No cloud is asked, and none has run them.

Not checked, since only the clouds know: instance types, images, prices, mounts, and what is inside ``node_config``.
"""

import re
import shlex
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
AWS, GCP, LOCAL = ROOT / "cluster.yaml", ROOT / "docs/cluster/gcp.yaml", ROOT / "docs/cluster/local.yaml"
RAYJOB = ROOT / "docs/cluster/rayjob.yaml"
LAUNCHER = pytest.mark.parametrize("path", [AWS, GCP, LOCAL], ids=lambda path: path.name)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RAY = next(pin.partition("==")[2] for pin in PROJECT["dependencies"] if pin.startswith("ray["))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def shell_lines(config: dict[str, Any]) -> list[str]:
    names = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    return [line for name in names for line in config[name]]


def ray_starts(config: dict[str, Any]) -> Iterator[list[str]]:
    for line in shell_lines(config):
        if "ray start" in line:
            yield shlex.split(line.partition("ray start")[2])


@LAUNCHER
def test_ray_accepts_it(path: Path) -> None:
    """``prepare_config`` fills in the provider's defaults and ``validate_config`` asks the schema; no SDK is needed."""
    prepared = prepare_config(read(path))
    validate_config(prepared)
    assert prepared["max_workers"] == 2


@LAUNCHER
def test_ray_refuses_an_unknown_key(path: Path) -> None:
    """So the test above can fail."""
    with pytest.raises(Exception, match="Additional properties"):
        validate_config(prepare_config(read(path) | {"max_worker": 2}))


@LAUNCHER
def test_every_ray_process_asks_for_the_token(path: Path) -> None:
    config = read(path)
    assert config["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    variables = next(line for line in shell_lines(config) if line.startswith("echo 'export"))
    assert "RAY_AUTH_MODE=token" in variables
    assert variables.endswith("> ~/.tinyscale")
    starts = [line for line in shell_lines(config) if "ray start" in line]
    assert len(starts) == 2
    assert all(line.startswith(". ~/.tinyscale;") for line in starts)


@LAUNCHER
def test_dashboard_and_mlflow_listen_on_the_head_alone(path: Path) -> None:
    config = read(path)
    head, worker = ray_starts(config)
    assert "--dashboard-host=127.0.0.1" in head
    assert not any(word.startswith("--dashboard") for word in worker)
    mlflow = next(line for line in shell_lines(config) if "mlflow server" in line)
    assert "--host 127.0.0.1" in mlflow
    assert not re.search(r"0\.0\.0\.0|--allow", path.read_text(encoding="utf-8"))


@LAUNCHER
def test_ray_knows_the_options_of_ray_start(path: Path) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for words in ray_starts(read(path)):
        assert {word.partition("=")[0] for word in words} <= known


@LAUNCHER
def test_the_shell_can_read_every_command(path: Path) -> None:
    for line in shell_lines(read(path)):
        subprocess.run(["bash", "-n", "-c", line], check=True)


@LAUNCHER
def test_code_comes_as_the_wheel_of_make_wheel_and_the_cache_lies_on_the_storage(path: Path) -> None:
    config = read(path)
    assert config["file_mounts"]["/home/ubuntu/wheels"] == "dist"
    assert "--wheel-dir dist" in (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = shell_lines(config)
    assert any("[cluster]" in line and "pip install" in line for line in lines)
    assert f"ray[default]=={RAY}" in PROJECT["optional-dependencies"]["cluster"]
    assert any("TINYSCALE_CACHE=/mnt/tinyscale/" in line for line in lines)
    assert any("mountpoint -q /mnt/tinyscale" in line for line in lines)


@pytest.mark.parametrize("path", [AWS, GCP], ids=lambda path: path.name)
def test_head_on_demand_without_gpu_and_spot_workers_with_one(path: Path) -> None:
    types = read(path)["available_node_types"]
    head, gpu = types["head"], types["gpu"]
    assert head["resources"] == {"CPU": 0}
    assert gpu["resources"]["GPU"] == 1
    assert "spot" not in str(head).lower()
    assert "spot" in str(gpu["node_config"]).lower()


@pytest.mark.parametrize("path", [AWS, GCP, LOCAL, RAYJOB], ids=lambda path: path.name)
def test_headers_say_what_to_change_what_it_costs_and_that_it_was_not_run(path: Path) -> None:
    header = "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    assert re.search(r"^# NOT RUN ON .* BY US\.", header, re.MULTILINE)
    assert re.search(r"^# Change:", header, re.MULTILINE)
    assert re.search(r"^# Cost left running", header, re.MULTILINE)
    assert "CHANGE-ME" in path.read_text(encoding="utf-8").replace(header, "")


def test_rayjob_agrees_with_the_pins_and_asks_for_the_token() -> None:
    job = read(RAYJOB)
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["rayVersion"] == RAY
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert f"FROM rayproject/ray:{RAY}-py312" in RAYJOB.read_text(encoding="utf-8")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [container for group in groups for container in group["template"]["spec"]["containers"]]
    assert {container["image"] for container in containers} == {f"CHANGE-ME/tinyscale:{PROJECT['version']}-ray{RAY}"}
    assert all(container["volumeMounts"][0]["mountPath"] == "/mnt/tinyscale" for container in containers)
    assert [container["resources"]["limits"].get("nvidia.com/gpu") for container in containers] == [None, "1"]


def test_rayjob_entrypoint_is_a_command_of_ours() -> None:
    """The words as the shell would split them, on a study that is there, up to the cluster that is not."""
    import sys

    words = shlex.split(read(RAYJOB)["spec"]["entrypoint"])
    assert words[:2] == ["tinyscale", "launch"]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
    swap = {words[2]: str(ROOT / "studies/quickstart.yaml"), "auto": nowhere, "/mnt/tinyscale/runs": "/tmp/unused"}
    command = [str(Path(sys.executable).with_name("tinyscale")), *(swap.get(word, word) for word in words[1:])]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 3, ran.stderr
    assert "no Ray cluster answers" in ran.stderr
