"""The step model, against a published run and against the project's own count of FLOPs."""

import pytest
from tinyscale_kernels.roofline import RTX_5090
from tinyscale_kernels.step import (
    PUBLISHED_TOKENS_PER_S,
    RTX_5090_RATES,
    TINYSCALE,
    TRAINER,
    Shape,
    parts,
    report,
    tokens_per_s,
)

from tinyscale.accounting import count_parameters, flops_per_token
from tinyscale.model.presets import preset_defaults
from tinyscale.spec import ModelConfig

SHAPE = Shape()
GPT2 = ModelConfig(
    preset="gpt2", vocab_size=SHAPE.vocab, hidden_size=SHAPE.hidden, num_layers=SHAPE.layers, num_heads=SHAPE.heads,
    num_kv_heads=SHAPE.heads, intermediate_size=4 * SHAPE.hidden, context_length=SHAPE.length,
    **preset_defaults("gpt2"),
)  # fmt: skip


def test_a_published_run_is_met_within_ten_percent():
    assert tokens_per_s(SHAPE, TRAINER, RTX_5090_RATES) == pytest.approx(PUBLISHED_TOKENS_PER_S, rel=0.1)


def test_it_counts_what_accounting_counts():
    assert SHAPE.parameters == count_parameters(GPT2).total == 124_475_904
    flops = {part.name: part.work.flops for part in parts(SHAPE, TINYSCALE, RTX_5090_RATES)}
    products = sum(flops for name, flops in flops.items() if name.startswith("matrix products"))
    attention = 12 * SHAPE.layers * SHAPE.length * SHAPE.hidden  # accounting: every token sees the whole context
    assert products / SHAPE.rows == pytest.approx(flops_per_token(GPT2) - attention)
    causal = (SHAPE.length + 1) / 2 / SHAPE.length  # here: what a causal token sees, and the scores computed again
    assert flops["attention forward"] / SHAPE.rows == pytest.approx(attention / 3 * causal)
    assert flops["attention backward"] / SHAPE.rows == pytest.approx(attention / 3 * 2.5 * causal)


def test_the_table_adds_up():
    lines = report(SHAPE, TINYSCALE, RTX_5090_RATES, RTX_5090).splitlines()[1:]
    times = [float(line.split()[-2]) for line in lines[:-1]]
    total, speed = lines[-1].split()[2], lines[-1].split()[-2]
    assert sum(times) == pytest.approx(float(total), abs=0.1 * len(times))
    assert float(speed.replace(",", "")) == pytest.approx(SHAPE.tokens / float(total) * 1e3, rel=1e-3)
