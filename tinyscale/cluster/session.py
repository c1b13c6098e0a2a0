"""Ray's beginning and end: this machine's own for one run, or a cluster that somebody keeps."""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinyscale.cluster.code import packages_to_send
from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.folders import own_folder
from tinyscale.data import default_cache
from tinyscale.plan.share import smallest_share
from tinyscale.spec.study import Resources

OBJECT_STORE_BYTES = 128 * 2**20
"""Trials pass metrics through Ray and no tensors: its default of 30 % of the memory would be theirs for nothing."""
KNOCK_S = 10.0
TOKEN_HINT = (
    "If the cluster asks for a token: set RAY_AUTH_MODE=token here, and have the cluster's token in ~/.ray/auth_token "
    "or in the file that RAY_AUTH_TOKEN_PATH names"
)

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # the user's to switch on
    # Printed even where log_to_driver is off; the trial's events tell it. Read when ray is first imported.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed while executing a task",
}


def worker_environment(resources: Resources) -> dict[str, str]:
    """Environment of every worker process, in place before it imports anything."""
    variables = {
        # Until a trial sets its own number, which may differ from that of the worker's last one.
        "OMP_NUM_THREADS": str(smallest_share(resources).cpus),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # or every line stands in the log twice
        # The pace at which Ray Train notices a dead or finished rank; its default is 2 s.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    }
    if not resources.on_gpu:
        variables["DS_ACCELERATOR"] = "cpu"  # or DeepSpeed looks for a GPU, and takes one that is not the trial's
    return variables


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[None]:
    """Ray for the body: one of its own when ``address`` is None, else a connection to that cluster.

    Leaves nothing behind of what it started. Ray that the process had initialised already is used and left alone.

    :raises PreflightError: no cluster answers at ``address``.
    """
    with environment(QUIET, override=False):
        import ray

        if ray.is_initialized():
            yield
            return
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        settings["runtime_env"] = {"env_vars": worker_environment(resources)}
        on_sigterm = signal.getsignal(signal.SIGTERM)
        with _own_ray(settings) if address is None else _connection(address, settings):
            if callable(on_sigterm):
                signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in the place of the caller's
            yield


@contextmanager
def _own_ray(settings: Mapping[str, Any]) -> Iterator[None]:
    import ray

    with own_folder("ray") as folder:
        try:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=usable_cpus(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                **settings,
            )
            yield
        finally:
            ray.shutdown()


@contextmanager
def _connection(address: str, settings: dict[str, Any]) -> Iterator[None]:
    import ray

    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    _knock(address)
    settings["runtime_env"]["py_modules"] = packages_to_send(default_cache())
    try:
        ray.init(address=address, **settings)
    # ValueError: ray:// without the packages of ray[client]; RuntimeError: another version of Ray or Python there.
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise PreflightError(f"no connection to a Ray cluster at {address!r}: {error}\n{TOKEN_HINT}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Whether anything listens at ``host:port``: Ray itself would try for minutes, and say so every 5 s."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # auto, or something that Ray has words for
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except OSError as error:
        raise PreflightError(
            f"no Ray cluster answers at {address!r} ({error}): is it up, and may this machine reach that port?"
        ) from error


def usable_cpus() -> int:
    """CPU cores this process may use: its affinity and its cgroup's quota (version 2) honoured."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except OSError:  # no cgroup, or version 1
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


@contextmanager
def environment(values: Mapping[str, str], *, override: bool = True) -> Iterator[None]:
    """Set variables of this process for the body; without ``override`` those that are set stay as they are."""
    before = {name: os.environ.get(name) for name in values if override or name not in os.environ}
    os.environ.update({name: values[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
