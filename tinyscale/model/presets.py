"""What each public architecture means in switches of :class:`tinyscale.spec.ModelConfig`. No torch in here."""

from typing import get_args

from tinyscale.spec.study import Setting
from tinyscale.spec.trial import Preset

_GPT2: dict[str, Setting] = {
    "norm": "layer",
    "norm_position": "pre",
    "norm_epsilon": 1e-5,
    "positions": "learned",
    "mlp": "gelu",
    "qkv_bias": True,
    "bias": True,
    "tie_embeddings": True,
    "sliding_window": 0,
    "scale_attention": True,
}

_PRESETS: dict[str, dict[str, Setting]] = {
    "gpt2": _GPT2,
    "gptneo": _GPT2 | {"qkv_bias": False, "sliding_window": 256, "scale_attention": False},
    "llama": {
        "norm": "rms",
        "norm_position": "pre",
        "norm_epsilon": 1e-5,
        "positions": "rope",
        "mlp": "swiglu",
        "qkv_bias": False,
        "bias": False,
        "tie_embeddings": True,
        "sliding_window": 0,
        "scale_attention": True,
    },
}


def preset_defaults(preset: Preset) -> dict[str, Setting]:
    """The switches that a preset stands for, as fields of ModelConfig; sizes are not among them.

    - ``gpt2``: Radford et al. 2019. Pre-LayerNorm, learned positions, GELU in its tanh form, biases throughout, tied.
    - ``gptneo``: Black et al. 2021, the architecture of the TinyStories models (Eldan & Li 2023). As gpt2, but odd
      layers see 256 tokens back, scores are not divided by sqrt(head size), and q, k, v have no bias.
    - ``llama``: Touvron et al. 2023. Pre-RMSNorm, rotary positions, SwiGLU, no biases. Tied, unlike Meta's models:
      the tiny Llamas that stories are told with (llama2.c) tie, since an own head would be most of a small model.

    :raises ValueError: there is no such preset.
    """
    if preset not in _PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose one of {', '.join(get_args(Preset))}")
    return dict(_PRESETS[preset])
