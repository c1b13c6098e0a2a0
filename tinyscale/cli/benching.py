"""The verb that measures speed on the machine at hand."""

from pathlib import Path
from typing import Annotated

import typer

from tinyscale.cli.common import RUN, app, say

bench = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")
app.add_typer(bench, name="bench", rich_help_panel=RUN)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


@bench.command()
def train(
    models: Annotated[str, typer.Option(metavar="A,B", help="Shapes; those for this device if none is named.")] = "",
    variants: Annotated[str, typer.Option(metavar="A,B", help="Such as plain,ours-bf16-compiled.")] = "",
    rounds: Annotated[int, typer.Option(help="Timed steps of each variant.", min=1)] = 10,
    threads: Annotated[int, typer.Option(help="Of the CPU; 0: all there are.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="All timings too, a JSON object a line.")] = None,
) -> None:
    """Tokens/s of training steps: ours beside plain PyTorch, torch.compile and transformers, in turns."""
    from tinyscale.train.bench import bench as compare
    from tinyscale.train.bench import write_timings

    timings = compare(_words(models), _words(variants), rounds=rounds, threads=threads, say=say)
    if out:
        write_timings(out, timings)
