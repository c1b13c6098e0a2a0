"""``tinyscale grade`` as a user runs it: on models and stories, without a judge and with one behind real HTTP."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

CANARY = "sk-canary-0123456789abcdef"
SERVER = Path(__file__).parents[1] / "grading" / "judge_server.py"
FEW = ["--set", "calibration=3", "--set", "bootstraps=40", "--set", "repeat_share=0.5"]


def tinyscale(home: Path, *words: str, code: int = 0) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "OPENAI_"))}
    environment = kept | {"TINYSCALE_CACHE": str(home / "cache"), "JUDGE_KEY": CANARY}
    command = [str(Path(sys.executable).with_name("tinyscale")), *words]
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert CANARY not in ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def judge() -> Iterator[str]:
    """A judge's base_url; it lets in the canary alone, and some of its first answers fail."""
    words = ["--faults", "429=0.1,broken-json=0.05,500=0.05", "--key", CANARY, "--follow-stdin"]
    server = subprocess.Popen(
        [sys.executable, str(SERVER), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    yield server.stdout.readline().strip()
    server.stdin.close()
    server.wait(timeout=20)
    server.stdout.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stories that somebody told: two models, eight beginnings, one of them better than the other."""
    folder = tmp_path_factory.mktemp("grade")
    told = []
    for number in range(8):
        prompt = f"Tom had {number} red balls."
        good = "He took them to the park. His friend Mia came too. They played all day and shared them. Tom was glad."
        for model, completion in (("good", good), ("bad", "the the the ball ball red the and and")):
            told.append({"model": model, "prompt_id": f"p{number}", "prompt": prompt, "completion": completion})
    (folder / "told.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    return folder


def asked(judge: str) -> int:
    with urlopen(judge.removesuffix("/v1") + "/stats") as answer:
        return int(json.load(answer)["requests"])


def of(judge: str, *more: str) -> list[str]:
    settings = ["judge.model=m", f"judge.base_url={judge}", "judge.api_key_env=JUDGE_KEY",
                "judge.requests_per_minute=60000", *more]  # fmt: skip
    return [*FEW, *(word for setting in settings for word in ("--set", setting))]


def test_without_a_judge_stories_are_measured(home: Path) -> None:
    said = json.loads(tinyscale(home, "grade", "told.jsonl", "--json"))
    assert said["instrument"] is None
    good, bad = sorted(said["judge_free"], key=lambda measures: measures["model"], reverse=True)
    assert (good["model"], bad["model"], good["stories"]) == ("good", "bad", 8)
    assert good["rouge_l"] == bad["rouge_l"] == 0.0
    assert bad["distinct"]["1"] < good["distinct"]["1"]


def test_a_judge_grades_once_and_ranks(home: Path, judge: str) -> None:
    quoted = tinyscale(home, "grade", "told.jsonl", *of(judge), "--dry-run")
    assert asked(judge) == 0, "a dry run asks nobody"
    assert "0 of them there" in quoted
    said = tinyscale(home, "grade", "told.jsonl", *of(judge, "worst=bad", "reference=good"), "--export", "g.parquet")
    assert "good is better than bad in overall by" in said
    assert "relative score = " in said
    assert "weighted kappa" in said
    answered = asked(judge)
    assert answered >= 16 + 9, "each story and the judge's own test"
    again = json.loads(tinyscale(home, "grade", "told.jsonl", *of(judge, "worst=bad", "reference=good"), "--json"))
    assert asked(judge) == answered, "what was answered is not asked again"
    assert [score["model"] for score in again["scores"]] == ["good", "bad"]
    assert again["scores"][0]["relative"]["overall"] == 1.0
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(home / "g.parquet").to_pylist()
    assert {row["model"] for row in table} == {"good", "bad", "calibration"}
    found = [p for p in home.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
    assert not found, "the key is in no file"


def test_a_spent_budget_ends_with_its_own_code_and_more_of_it_goes_on(home: Path, judge: str) -> None:
    prices = ["judge.price_input_usd=1", "judge.price_output_usd=4", "judge.priced_on=2026-11-21", "seed=5",
              "judge.protocol=paper"]  # fmt: skip
    said = tinyscale(home, "grade", "told.jsonl", *of(judge, *prices, "budget_usd=0.06"), code=5)
    assert "the same command goes on" in said
    spent = asked(judge)
    whole = json.loads(tinyscale(home, "grade", "told.jsonl", *of(judge, *prices, "budget_usd=5"), "--json"))
    assert asked(judge) > spent
    assert [score["ungraded"] for score in whole["scores"]] == [0, 0]
    assert 0 < whole["cost_usd"] < 5


def test_on_another_day_new_stories_bring_the_judges_own_test_again(home: Path, judge: str) -> None:
    lines = (home / "told.jsonl").read_text().replace("Tom", "Tim").splitlines(keepends=True)
    few = home / "few.jsonl"
    few.write_text("".join(lines[:14]))
    settings = ["--set", "calibration=5", *of(judge, "seed=3")[2:]]
    assert json.loads(tinyscale(home, "grade", "few.jsonl", *settings, "--json"))["calibration"]["drift"] is None
    (sessions,) = (home / "few-grades").glob("grades/*/sessions.json")
    sessions.write_text('["2026-01-01"]')
    asked_before = asked(judge)
    tinyscale(home, "grade", "few.jsonl", *settings)
    assert asked(judge) == asked_before, "nothing is new, so nothing is asked"
    few.write_text("".join(lines))
    again = json.loads(tinyscale(home, "grade", "few.jsonl", *settings, "--json"))
    assert asked(judge) >= asked_before + 2 + 15, "two stories, and the test"
    assert again["calibration"]["drift"]["value"] == 0.0, "this judge says the same each day"
    assert len(json.loads(sessions.read_text())) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["told.jsonl", "--set", "judge.modle=x"], "grading.judge.modle: unknown field; did you mean 'model'?"),
        (["told.jsonl", "--set", f"judge.api_key_env={CANARY}"], "a key itself does not belong into a study"),
        (["told.jsonl", "--set", "judge.price_input_usd=1"], "say in priced_on when they were read"),
        (["told.jsonl", "--set", "judge.base_url=localhost:8000"], "it is a URL such as"),
        (["told.jsonl", "--set", "worst=good"], "name both or neither"),
        (["told.jsonl", "--export", "g.xlsx"], "ends in .csv or .parquet"),
        (["nobody"], "nobody: not launched into runs"),
        (["cache"], "no launched study, no folder of a finished model and no file of stories"),
    ],
)
def test_bad_input_ends_before_anything_is_asked(home: Path, words: list[str], expected: str) -> None:
    (home / "cache").mkdir(exist_ok=True)
    assert expected in tinyscale(home, "grade", *words, code=2)


def test_anchors_that_are_no_models_are_refused_before_a_call(home: Path, judge: str) -> None:
    before = asked(judge)
    said = tinyscale(home, "grade", "told.jsonl", *of(judge, "worst=bad", "reference=ugly", "seed=9"), code=2)
    assert "no graded model is named 'ugly'; there are bad, good" in said
    assert asked(judge) == before
