from collections.abc import Callable
from typing import Any

import pytest
import torch

from tinyscale.model.presets import preset_defaults
from tinyscale.spec import ModelConfig

torch.set_num_threads(1)

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_layers": 3,
    "num_heads": 4,
    "num_kv_heads": 4,
    "intermediate_size": 37,
    "context_length": 24,
    "init_std": 0.2,
}


@pytest.fixture
def make_config() -> Callable[..., ModelConfig]:
    """A small config of a preset; any field can be changed."""

    def make(preset: str = "llama", **changes: Any) -> ModelConfig:
        return ModelConfig(**{"preset": preset, **preset_defaults(preset), **SMALL, **changes})  # type: ignore[arg-type]

    return make
