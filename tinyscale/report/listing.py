"""The plan of a study as a table on the terminal."""

import os
import sys
from collections.abc import Callable, Collection, Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from tinyscale.accounting import padded_vocab
from tinyscale.plan.planner import Plan
from tinyscale.plan.quote import Quote
from tinyscale.spec import Trial, short_count
from tinyscale.spec.study import Share
from tinyscale.spec.words import size

PIPE_WIDTH = 160
"""Columns where there is no terminal to ask."""
_ANY_WIDTH = 1_000


def console() -> Console:
    """A console for tables."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def share_words(share: Share) -> str:
    """What a trial occupies: 1 CPU, 2 x 1 CPU, 0.25 GPU."""
    each = f"{share.gpus:.3g} GPU" if share.gpus else f"{share.cpus} CPU"
    return f"{share.workers} x {each}" if share.workers > 1 else each


def print_plan(plan: Plan, done: Collection[str]) -> None:
    """Every trial with its derived values, then the sums. A value that all trials share is said once, above."""
    columns = {name: [cell(trial, plan.quotes[trial.id]) for trial in plan.trials] for name, cell in _COLUMNS.items()}
    if all(quote.cost is None for quote in plan.quotes.values()):
        del columns["cost"]
    if not plan.text_per_token:
        del columns["text"]
    if columns["kv heads"] == columns["heads"]:
        del columns["kv heads"]
    shared = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1 and name in _MAY_BE_SHARED}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", no_wrap=True)
    for name in columns:
        if name not in shared:
            table.add_column(name, justify="right", no_wrap=True)
    for row, trial in enumerate(plan.trials):
        marks = " [cyan]hold-out[/]" * trial.holdout + " [green]done[/]" * (trial.id in done)
        table.add_row(trial.name + marks, *(cells[row] for name, cells in columns.items() if name not in shared))
    out = console()
    if not sys.stdout.isatty():  # into a file or a pipe nothing is cut
        out.width = max(out.width, out.measure(table, options=out.options.update(width=_ANY_WIDTH)).maximum)
    out.print(f"[bold]{plan.study.name}[/]: {plan.study.question}".rstrip(": "), highlight=False)
    out.print("every trial: " + ", ".join(f"{name} {value}" for name, value in shared.items()), highlight=False)
    out.print(table)
    for line in plan_totals(plan, done):
        out.print(line, highlight=False)


_COLUMNS: Mapping[str, Callable[[Trial, Quote], str]] = {
    "preset": lambda trial, quote: trial.model.preset,
    "params": lambda trial, quote: short_count(quote.params_total),
    "non-emb": lambda trial, quote: short_count(quote.params_non_embedding),
    "heads": lambda trial, quote: str(trial.model.num_heads),
    "kv heads": lambda trial, quote: str(trial.model.num_kv_heads),
    "mlp": lambda trial, quote: str(trial.model.intermediate_size),
    "context": lambda trial, quote: str(trial.model.context_length),
    "batch": lambda trial, quote: str(trial.train.batch_size),
    "schedule": lambda trial, quote: trial.train.schedule,
    "tokens": lambda trial, quote: ", ".join(map(short_count, trial.budgets)),
    "text": lambda trial, quote: _text(trial, quote),
    "steps": lambda trial, quote: str(quote.steps),
    "warm-up": lambda trial, quote: str(trial.train.warmup_steps),
    "lr": lambda trial, quote: f"{trial.train.learning_rate:.2g}",
    "FLOPs": lambda trial, quote: f"{quote.flops:.1e}",
    "time": lambda trial, quote: duration(quote.seconds),
    "disk": lambda trial, quote: size(quote.disk_bytes),
    "share": lambda trial, quote: share_words(quote.share),
    "cost": lambda trial, quote: f"{quote.cost or 0.0:.2f}",
}
_MAY_BE_SHARED = frozenset(_COLUMNS) - {"params", "non-emb", "FLOPs", "time", "disk", "cost"}


def _text(trial: Trial, quote: Quote) -> str:
    """The text of each token budget."""
    if quote.text_bytes is None:
        return ""
    return ", ".join(size(tokens * quote.text_bytes / quote.tokens) for tokens in trial.budgets)


def plan_totals(plan: Plan, done: Collection[str]) -> list[str]:
    """What is still to be run, what the largest trial takes, and what of the numbers may mislead: a line each."""
    quotes = [plan.quotes[trial.id] for trial in plan.trials if trial.id not in done]
    on_gpu, cores = plan.study.resources.on_gpu, os.cpu_count() or 1
    left = sum(quote.seconds for quote in quotes)
    where = "on one GPU" if on_gpu else f"on the {cores} core(s) here"
    lines = [
        f"to run: {len(quotes)} of {len(plan.trials)} trials, {sum(q.flops for q in quotes):.2e} training FLOPs, "
        f"{duration(left)} one after another, {where}: {duration(plan.wall_s(1 if on_gpu else cores, skip=done))}",
        f"times rest on {plan.basis}",
        f"disk: up to {size(sum(quote.disk_bytes for quote in quotes))} in the study's folder",
    ]
    largest = max(plan.quotes.values(), key=lambda quote: quote.state_bytes)
    split = f", the last over {largest.share.workers} workers (ZeRO-1)" * (largest.share.workers > 1)
    lines.append(
        f"memory: the largest trial's state takes {size(largest.state_bytes)} a worker, for weights, gradients and "
        f"optimizer{split}; activations come on top"
    )
    lines += _padded_counts(plan)
    if plan.provisional:
        rough = {trial.model.vocab_size for trial in plan.trials if trial.id in plan.provisional}
        estimates = ", ".join(f"{plan.text_per_token[each]:.2f} at V = {each:,}" for each in sorted(rough))
        lines.append(
            f"text_bytes: bytes a token are estimates ({estimates}), so tokens, names and ids of "
            f"{len(plan.provisional)} trials are provisional until `tinyscale prepare` has made the tokens"
        )
    if plan.card:
        lines.append(f"shares of a GPU are chosen for {plan.card}")
    if plan.study.resources.scheduler == "asha":
        lines.append("scheduler asha: learning rates that fall behind are stopped early, so this is the most it takes")
    if any(quote.cost is not None for quote in quotes):
        budget = plan.study.budget
        total = sum(quote.cost or 0.0 for quote in quotes)
        lines.append(f"cost: {total:.2f} {budget.currency} at {budget.price_per_device_hour:g} per device-hour")
    return lines


def _padded_counts(plan: Plan) -> list[str]:
    """Both counts of parameters, of each vocabulary that is no multiple of 64, in its largest model."""
    lines = []
    for vocab_size in plan.vocab_sizes:
        mine = [(plan.quotes[trial.id], trial.model) for trial in plan.trials if trial.model.vocab_size == vocab_size]
        quote, model = max(mine, key=lambda pair: pair[0].params_total)
        if quote.params_padded != quote.params_total:
            several = len({other.params_total for other, _ in mine}) > 1
            shape = f", d{model.hidden_size}-L{model.num_layers}" * several
            lines.append(
                f"V = {vocab_size:,}{shape}: {quote.params_total:,} parameters; with its rows padded to "
                f"{padded_vocab(vocab_size):,}, as GPU codes count them, {quote.params_padded:,}"
            )
    if lines:
        lines.append("rows are padded inside our kernel alone: weights, checkpoints and exports have one a token")
    return lines
