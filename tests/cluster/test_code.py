import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tinyscale.cluster.code import code_digest, packages_to_send

ROOT = Path(__file__).parents[2]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_sent_is_what_setuptools_would_pack(tmp_path: Path) -> None:
    """The guard of ``SUFFIXES``: a data file of a new kind would be missing on the machines."""
    pytest.importorskip("setuptools", "77")
    source = tmp_path / "source"  # setuptools leaves build folders behind
    for folder in ("tinyscale", "kernels"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sent = Path(packages_to_send(tmp_path / "cache")[0]).parent
    assert files(sent) == packed


def test_the_copy_is_named_by_its_content_made_once_and_mended(tmp_path: Path) -> None:
    first = packages_to_send(tmp_path)
    file = Path(first[0]) / "__init__.py"
    made = file.stat().st_mtime_ns
    assert file.parent == tmp_path / "code" / code_digest() / "tinyscale"
    assert packages_to_send(tmp_path) == first
    assert file.stat().st_mtime_ns == made
    whole = file.read_bytes()
    file.write_bytes(b"")
    assert packages_to_send(tmp_path) == first
    assert file.read_bytes() == whole


def test_another_process_finds_the_copy_to_be_the_same_code(tmp_path: Path) -> None:
    there = Path(packages_to_send(tmp_path)[0]).parent
    asked = "import tinyscale.cluster.code as code; print(code.__file__, code.code_digest())"
    command = [sys.executable, "-P", "-c", asked]
    ran = subprocess.run(command, env={"PYTHONPATH": str(there)}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(there / "tinyscale" / "cluster" / "code.py"), code_digest()]
