"""The network on which the ranks of a group meet: the one on which their machines know each other as Ray's nodes.

Left alone, gloo takes the address that the machine's own name stands for in /etc/hosts: often 127.0.1.1, which no other
machine can reach, and where it is none of the machine's, loopback.
"""

import fcntl
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig

SIOCGIFADDR = 0x8915
"""Linux's request for an interface's address, netdevice(7)."""


class _Backend(TorchConfig().backend_cls):  # type: ignore[misc]  # ray is not typed
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Before Ray Train makes the process group."""
        worker_group.execute(use_rays_network)
        super().on_start(worker_group, backend_config)


@dataclass
class RaysNetwork(TorchConfig):  # type: ignore[misc]  # ray is not typed
    """Ray Train's settings of the process group, and the network to make it on."""

    @property
    def backend_cls(self) -> type[_Backend]:
        """What starts the process group."""
        return _Backend


def use_rays_network() -> None:
    """Name the interface to gloo in this process, unless the user has."""
    if name := interface_of(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface_of(address: str) -> str:
    """The interface of this machine that has an IPv4 address; empty: none has, as behind a translation of addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has no address
                answer = fcntl.ioctl(asked.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return ""
