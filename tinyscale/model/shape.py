"""Which shapes can be built. No torch in here."""

from tinyscale.spec import ModelConfig

GATED_MLPS = frozenset({"swiglu", "geglu"})
"""Activations with a third matrix (Shazeer 2020)."""


def check_shape(config: ModelConfig) -> None:
    """Refuse heads that do not fit.

    :raises ValueError: names the field, its value, and what to choose instead.
    """
    if config.hidden_size % config.num_heads:
        raise ValueError(
            f"num_heads={config.num_heads} does not divide hidden_size={config.hidden_size}; "
            f"choose one of {_divisors(config.hidden_size)}"
        )
    if config.num_heads % config.num_kv_heads:
        raise ValueError(
            f"num_kv_heads={config.num_kv_heads} does not divide num_heads={config.num_heads}; "
            f"choose one of {_divisors(config.num_heads)}"
        )
    if config.positions == "rope" and config.head_size % 2:
        raise ValueError(
            f"positions=rope turns pairs of channels, but hidden_size={config.hidden_size} over "
            f"num_heads={config.num_heads} is an odd head size of {config.head_size}; change one of the two"
        )


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
