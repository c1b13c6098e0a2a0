"""The scores that the TinyStories authors print, to be drawn behind one's own (Eldan & Li 2023).

Their judge was GPT-4 of spring 2023, asked by their protocol about their prompts: another judge's scores stand on
another scale, and only the shape of the dependence on size can be laid beside one's own.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinyscale.spec import CRITERIA

TABLE = Path(__file__).with_name("paper.csv")


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A model of the paper."""

    model: str
    """``HIDDENxLAYERS``, or a name."""
    scores: Mapping[str, float]
    """By criterion; those that the paper prints."""
    hidden_size: int | None = None
    """None: not one of the authors' own models."""
    num_layers: int | None = None
    loss: float | None = None
    """Evaluation loss (nats per token of their tokenizer)."""

    @property
    def overall(self) -> float | None:
        """Mean of grammar, creativity, consistency and plot; None where one of them is not printed."""
        names = ("grammar", "creativity", "consistency", "plot")
        found = [self.scores[name] for name in names if name in self.scores]
        return sum(found) / len(names) if len(found) == len(names) else None


@cache
def paper_rows() -> tuple[PaperRow, ...]:
    """The table: 26 models of the authors, then GPT-4, GPT-2 in three sizes and GPT-Neo."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            PaperRow(
                model=row["model"],
                scores={name: float(row[name]) for name in CRITERIA if row[name]},
                hidden_size=int(row["hidden_size"]) if row["hidden_size"] else None,
                num_layers=int(row["num_layers"]) if row["num_layers"] else None,
                loss=float(row["loss"]) if row["loss"] else None,
            )
            for row in csv.DictReader(file)
        )
