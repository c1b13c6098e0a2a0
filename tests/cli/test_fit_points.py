"""The law of somebody's table of runs through the command line: what is taken, what is left out, what is refused."""

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tinyscale.laws import predict
from tinyscale.spec import LawFit, read_json

TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``tinyscale fit WORDS``: exit code, stdout and stderr."""

    def fit(*words: object) -> tuple[int, str, str]:
        from tinyscale.cli import main

        monkeypatch.setattr(sys, "argv", ["tinyscale", "fit", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return fit


def twin(outliers: int = 5) -> list[tuple[float, float, float]]:
    """N, C and loss as in the table of Besiroglu et al. 2024: the first rows, the highest losses, obey no law."""
    generator = np.random.default_rng(7)
    N, D = np.exp(generator.uniform(np.log(6e7), np.log(1e10), 80)), np.exp(generator.uniform(21, 26, 80))
    loss = predict(**TRUTH, N=N, D=D) * np.exp(0.003 * generator.standard_normal(80))
    order = np.argsort(-loss)
    N, D, loss = N[order], D[order], loss[order]
    loss[:outliers] *= 1.3 + 0.1 * np.arange(outliers)
    return list(zip(N, 6 * N * D, loss, strict=True))


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def grid() -> list[list[str]]:
    """A small good table as cells, exact but for the rounding of the loss."""
    N, D = (axis.ravel() for axis in np.meshgrid([1e8, 3e8, 1e9, 4e9], [2e9, 8e9, 3e10, 1e11]))
    return [[f"{n:g}", f"{d:g}", f"{loss:.4f}"] for n, d, loss in zip(N, D, predict(**TRUTH, N=N, D=D), strict=True)]


def test_the_law_of_a_table_and_the_highest_losses_named(run: Run, tmp_path: Path) -> None:
    rows = [[i, n, c, loss] for i, (n, c, loss) in enumerate(twin())]
    table = write(tmp_path / "runs.csv", ["x", "Model Size", "Training FLOP", "loss"], rows)
    code, out, err = run("--points", table, "--drop-highest", 5, "--save", tmp_path / "law.json")
    assert code == 0, err
    assert "N from 'Model Size'; D = C / (6 N), C from 'Training FLOP'; loss from 'loss'" in out
    assert sorted(re.findall(r"left out: row (\d+): loss \S+, among the 5 highest", out)) == list("12345")
    assert re.search(r"^loss = 1\.\d+ \+ \S+ / N\^0\.3\d+ \+ \S+ / D\^0\.3\d+   \(75 points, residual", out, re.M)
    assert "verdict: trusted" in out
    law = read_json(LawFit, tmp_path / "law.json")
    assert (law.unit, law.vocab_size, law.params, len(law.trial_ids)) == ("loss", 0, "", 75)
    assert law.trial_ids[0] == "row 6"
    assert (law.E, law.alpha, law.beta) == pytest.approx((TRUTH["E"], TRUTH["alpha"], TRUTH["beta"]), abs=0.04)

    code, out, err = run("--points", table)
    assert code == 0, err
    assert "80 points" in out
    assert "exponents withheld" in out
    assert "warning:" in out
    assert "left out" not in out


def test_columns_are_mapped_and_numbers_read_as_people_write_them(run: Run, tmp_path: Path) -> None:
    rows = [[f"{float(n) / 1e6:g}M", f"{int(float(d)):_}", float(loss), float(loss) + 1] for n, d, loss in grid()]
    table = write(tmp_path / "runs.csv", ["size, all", "seen", "val_bpb", "loss"], [*rows[:3], [], *rows[3:]])
    words = ["--columns", "N=size, all,D=Seen", "--columns", "loss=VAL_BPB", "--exclude", "3,7-8", "--json"]
    code, out, err = run("--points", table, *words)
    assert code == 0, err
    law = json.loads(out)["law"]
    assert law["unit"] == "bpb"
    assert law["excluded"] == {f"row {row}": "named by --exclude" for row in (3, 7, 8)}
    assert len(law["trial_ids"]) == 13
    assert law["alpha"] == pytest.approx(0.35, abs=0.01)


@pytest.mark.parametrize(
    "header",
    [("params", "tokens", "val_loss"), ("Parameters", "Training Tokens", "BPB"), ("n_params", "D", "eval/loss")],
)
def test_common_names_are_guessed_in_any_case(header: Sequence[str], run: Run, tmp_path: Path) -> None:
    table = tmp_path / "runs.tsv"
    table.write_text("\ufeff" + "\n".join("\t".join(row) for row in [header, *grid()]), encoding="utf-8")
    code, out, err = run("--points", table)
    assert code == 0, err
    assert f"N from {header[0]!r}; D from {header[1]!r}; loss from {header[2]!r}" in out


def test_a_seed_tells_repeats_apart(run: Run, tmp_path: Path) -> None:
    rows = [[*row, seed] for row in grid() for seed in (0, 1)]
    code, out, err = run("--points", write(tmp_path / "runs.csv", ["N", "D", "loss", "seed"], rows))
    assert code == 0, err
    assert "seed from 'seed'" in out
    assert "32 points" in out


ROWS = grid()
REFUSED: dict[str, tuple[str, list[str], str]] = {
    # what is wrong: (text of the file, further options, words that the message must hold)
    "empty file": ("", [], "runs.csv: empty"),
    "header alone": ("N,D,loss\n", [], "runs.csv: no row below the header"),
    "missing column": ("N,steps,loss\n1,2,3\n", [], "runs.csv:1: no column for D, training tokens"),
    "missing column, how to map": (
        "N,steps,loss\n1,2,3\n",
        [],
        "'N', 'steps', 'loss': say which with --columns D=NAME",
    ),
    "two losses": (
        "N,D,loss,bpb\n1,2,3,4\n",
        [],
        "'loss' and 'bpb' could each be loss: say which with --columns loss=",
    ),
    "mapped to nothing": (
        "N,D,loss\n1,2,3\n",
        ["--columns", "D=toks"],
        "D is mapped to 'toks', but the columns are 'N'",
    ),
    "bad mapping": ("N,D,loss\n1,2,3\n", ["--columns", "X=toks"], "'X=toks' maps nothing; write N=NAME"),
    "mapped twice": ("N,D,loss\n1,2,3\n", ["--columns", "N=D,N=N"], "N is mapped twice"),
    "D and C": ("N,D,loss\n1,2,3\n", ["--columns", "D=D,C=N"], "map D or C, not both"),
    "not a number": (
        "N,D,loss\n1e6,2e6,3\n\n1e6,many,3\n",
        [],
        "runs.csv:4: row 2, column 'D': 'many' is not a number",
    ),
    "remedy": ("N,D,loss\n1e6,2e6,nan\n1e6,many,3\n", [], "leave them out by name: --exclude 1,2"),
    "not finite": ("N,D,loss\n1e6,2e6,nan\n", [], "row 1, column 'loss': 'nan' is not finite"),
    "infinite": ("N,D,loss\n1e6,infM,2\n", [], "row 1, column 'D': 'infM' is not finite"),
    "negative": ("N,D,loss\n-1M,2e6,2\n", [], "row 1, column 'N': '-1M' is not positive"),
    "empty cell": ("N,D,loss\n1M,2e6,\n", [], "row 1, column 'loss': '' is not a number"),
    "short row": ("N,D,loss\n1M,2e6\n", [], "runs.csv:2: row 1: 2 cells where the header has 3"),
    "many faults": ("N,D,loss\n" + "1,2,x\n" * 9, [], "and 4 more rows"),
    "open quote": ('N,D,loss\n1,2,"3\n', [], "not CSV"),
    "duplicate": ("N,D,loss\n1M,2M,3\n2M,2M,3\n1e6,2e6,4\n", [], "row 3 has the N and D of row 1"),
    "duplicate seed": ("N,D,loss,seed\n1M,2M,3,7\n1e6,2e6,4,7\n", [], "row 2 has the N, D and seed of row 1"),
    "three rows": ("N,D,loss\n1M,2M,3\n2M,4M,2\n4M,8M,1\n", [], "runs.csv: 3 distinct point(s)"),
    "constant loss": ("N,D,loss\n" + "".join(f"{n},{d},2\n" for n, d, _ in ROWS), [], "the loss is 2 in every row"),
    "all dropped": ("N,D,loss\n1M,2M,3\n", ["--drop-highest", "3"], "0 distinct point(s)"),
    "no such row": ("N,D,loss\n1M,2M,3\n", ["--exclude", "2"], "there is no row 2 to exclude; rows run from 1 to 1"),
    "no row number": ("N,D,loss\n1M,2M,3\n", ["--exclude", "one"], "'one' is no row number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_place_and_remedy(what: str, run: Run, tmp_path: Path) -> None:
    text, words, message = REFUSED[what]
    table = tmp_path / "runs.csv"
    table.write_text(text)
    code, out, err = run("--points", table, *words, "--save", tmp_path / "law.json")
    assert code == 2, out
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "law.json").exists()


def test_refuses_files_that_are_no_text_and_verbs_without_an_object(run: Run, tmp_path: Path) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes("N,D,loss,caf\xe9\n".encode("latin-1"))
    for words, message in (
        (["--points", tmp_path / "nowhere.csv"], "nowhere.csv: cannot be read: No such file"),
        (["--points", tmp_path], "cannot be read: Is a directory"),
        (["--points", latin], "not UTF-8"),
        ([], "one of the two"),
        (["quickstart", "--points", latin], "one of the two"),
        (["quickstart", "--exclude", "3"], "go with --points"),
        (["--points", latin, "--save", tmp_path], "Invalid value for '--save'"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert message in err


def test_a_faulty_row_may_be_left_out(run: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "runs.csv", ["N", "D", "loss"], [*grid(), ["1M", "diverged", math.nan]])
    code, out, err = run("--points", table, "--exclude", "17")
    assert code == 0, err
    assert "left out: row 17: named by --exclude" in out
