"""The package stands alone, and its folder is no package."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""
STRANGERS = ("tinyscale", "ray", "mlflow", "deepspeed", "pydantic", "typer", "huggingface_hub", "transformers", "numpy")


def run(code: str, *blocked: str) -> subprocess.CompletedProcess[str]:
    program = BLOCK.format(names=blocked) + code
    return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)


def test_the_folder_of_kernels_is_no_package():
    """transformers imports an unrelated package named kernels where it finds one, and breaks on ours."""
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_it_imports_with_torch_and_triton_alone():
    done = run("import tinyscale_kernels.inspect, tinyscale_kernels.bench", *STRANGERS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("blocked", [("triton",), ()])
def test_without_triton_or_a_card_torch_computes_and_says_so_once(blocked):
    done = run(
        """
import logging, torch
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
torch.cuda.is_available = lambda: False
import tinyscale_kernels as tk
gate, up = torch.randn(2, 3, 8)
for _ in range(3):
    assert torch.equal(tk.swiglu(gate, up), torch.nn.functional.silu(gate) * up)
try:
    tk.swiglu(gate, up, implementation="triton")
except ValueError as error:
    print(error)
try:
    tk.swiglu(gate, up, implementation="cuda")
except ValueError as error:
    print(error)
""",
        *blocked,
    )
    assert done.returncode == 0, done.stderr
    reason = "the package triton is not installed" if blocked else "the device is a CPU"
    assert done.stderr.count("PyTorch computes every op on cpu") == 1
    assert reason in done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"kernels=triton cannot run here: {reason}")
    assert first.endswith("choose auto or torch")
    assert second == "implementation is 'cuda'; choose one of auto, triton, torch"
