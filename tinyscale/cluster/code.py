"""Our code as the driver has it, for machines that have the dependencies and not us, or another version of us."""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from tinyscale.data.cache import cached_folder

PACKAGES = ("tinyscale", "tinyscale_kernels")
SUFFIXES = (".py", ".html", ".json", ".csv", ".md")
"""Of our code and its data; others that lie beside them (compiled files, an editor's) stay here."""
DIGITS = 16


def packages_to_send(cache_folder: Path) -> list[str]:
    """Folders of our packages for Ray's ``py_modules``: a copy by digest, so code edited meanwhile is never mixed.

    Not a wheel, which ``py_modules`` takes as well. Ray 2.60 installs it with the machine's ``pip install --target``:
    that fetches all its requirements once more, keeps the old code for a wheel of the same name, and where the wheel is
    there already (a second node of one machine, a restarted agent) fails and deletes it under the running workers.
    """

    def build(folder: Path) -> None:
        for name, content in _code().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def check(folder: Path) -> None:
        for name, content in _code().items():
            if (folder / name).read_bytes() != content:
                raise ValueError(f"{folder / name} was changed")

    folder = cached_folder(cache_folder / "code" / code_digest(), build, check)
    return [str(folder / package) for package in PACKAGES]


def code_digest() -> str:
    """SHA-256 of our packages' code as this process found it, its first 16 hex digits."""
    digest = hashlib.sha256()
    for name, content in _code().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:DIGITS]


@cache
def _code() -> dict[str, bytes]:
    """Contents by name, such as ``tinyscale/accounting.py``."""
    code = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix in SUFFIXES:
                    code[f"{package}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    return code
