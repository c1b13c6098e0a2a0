"""Which model is best: made-up studies of real, tiny, untrained models whose measurements are written beside them."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tinyscale.accounting import count_parameters
from tinyscale.data.corpus import prepare_corpus
from tinyscale.grading.results import write_grading
from tinyscale.model.presets import preset_defaults
from tinyscale.model.store import model_digest, save_model
from tinyscale.model.transformer import Transformer
from tinyscale.plan.planner import make_plan
from tinyscale.promote.choice import by_pareto
from tinyscale.promote.choice.choose import check_promotable, choose, find_trial
from tinyscale.promote.choice.luck import kind_of, mean_log, seed_luck
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    BuiltinCorpus,
    Choice,
    Comparison,
    GradeSummary,
    Instrument,
    Interval,
    JudgeFree,
    ModelConfig,
    ModelScore,
    Point,
    ResolvedStudy,
    Study,
    TrainConfig,
    Trial,
    TrialResult,
    Validation,
    write_json,
)

CORPUS = BuiltinCorpus(train_stories=30, valid_stories=10)
VOCAB = 300


@dataclass
class MadeUp:
    """A study in a folder, filled with trials by the tests."""

    path: Path
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.corpus = prepare_corpus(CORPUS)
        self.store = StudyStore(self.path / "runs" / "tiny")

    @property
    def resolved(self) -> ResolvedStudy:
        grid = {"hidden_size": (8, 16), "tokens": (1000, 2000), "seed": (0,)}
        study = Study(
            name="tiny",
            corpus=CORPUS,
            model={"num_layers": 1, "vocab_size": VOCAB, "context_length": 16},
            train={"batch_size": 2},
            space=(grid,),
        )
        return ResolvedStudy(study=study, trials=tuple(self.trials))

    def add(
        self,
        bpb: float,
        *,
        full: float | None = None,
        hidden: int = 8,
        seed: int = 0,
        layers: int = 1,
        tokens: int = 1000,
        status: str = "done",
        message: str = "",
        holdout: bool = False,
    ) -> str:
        """A trial whose model has ``bpb`` on the slice and ``full`` on all text; its id."""
        model = ModelConfig(
            vocab_size=VOCAB, hidden_size=hidden, num_layers=layers, num_heads=2, num_kv_heads=2,
            intermediate_size=2 * hidden, context_length=16, **{**preset_defaults("llama"), "preset": "llama"},
        )  # fmt: skip
        train = TrainConfig(tokens=tokens, batch_size=2, learning_rate=1e-3, warmup_steps=1, seed=seed)
        trial = Trial(model=model, train=train, corpus=self.corpus.digest, tokenizer="t", holdout=holdout)
        self.trials.append(trial)
        folder, params = self.store.trial(trial.id), count_parameters(model)
        folder.path.mkdir(parents=True)
        point = Point(
            trial_id=trial.id, params_total=params.total, params_non_embedding=params.non_embedding,
            hidden_size=hidden, num_layers=layers, vocab_size=VOCAB, tokens=tokens, text_bytes=2.0 * tokens,
            flops=1e6, loss=bpb, bpb=bpb, learning_rate=1e-3, seed=seed, holdout=holdout,
        )  # fmt: skip
        if status == "unfinished":
            return trial.id
        points = (replace(point, tokens=tokens // 2, bpb=2 * bpb), point) if status == "done" else ()
        result = TrialResult(trial_id=trial.id, name=trial.name, status=status, points=points, message=message)  # type: ignore[arg-type]
        write_json(folder.result, result)
        if status == "done":
            save_model(folder.model, model, Transformer(model).state_dict(), self.tokenizer())
            value = bpb if full is None else full
            write_json(folder.validation, Validation(
                model_digest=model_digest(folder.model), corpus=self.corpus.digest, bpb=span(value), loss=span(value),
                stories=10, bytes=5000, tokens=2500, context_length=16,
            ))  # fmt: skip
        return trial.id

    def tokenizer(self) -> Path:
        path = self.path / "tokenizer.json"
        path.write_text("{}")
        return path

    def name(self, trial_id: str) -> str:
        return next(trial.name for trial in self.trials if trial.id == trial_id)

    def grade(
        self, means: dict[str, float | None], pairs: Sequence[tuple[str, str, bool]], last_s: float = 5.0
    ) -> None:
        """Overall means by name (None: withheld), and which comparisons are ties."""
        instrument = Instrument(model=f"judge-{last_s:g}", base_url="http://x/v1", protocol="strict", temperature=0.0,
                                seed=0, max_tokens=100, rubric="r")  # fmt: skip
        scores = tuple(
            ModelScore(model=name, prompts=5, stories=10, ungraded=0, means={"overall": span(mean)} if mean else {},
                       withheld="" if mean else "4 of 10 stories are ungraded")
            for name, mean in means.items()
        )  # fmt: skip
        compared = tuple(
            Comparison(better=one, worse=other, criterion="overall", prompts=5, tie=tie,
                       difference=Interval(value=0.5, low=-0.1 if tie else 0.2, high=0.9))
            for one, other, tie in pairs
        )  # fmt: skip
        write_grading(
            self.store.path, GradeSummary(instrument=instrument, last_s=last_s, scores=scores, comparisons=compared)
        )

    def choose(self, by: str = "bpb", **more: int) -> Choice:
        return choose(self.store, self.resolved, by=by, corpus=self.corpus, say=lambda _: None, **more)  # type: ignore[arg-type]


def span(value: float) -> Interval:
    return Interval(value=value, low=0.99 * value, high=1.01 * value)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def study(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    monkeypatch.setenv("TINYSCALE_CACHE", str(cache))
    return MadeUp(tmp_path)


def test_a_clear_winner_on_all_the_text_whoever_led_on_the_slice(study: MadeUp) -> None:
    first_on_slice, best = study.add(1.00, full=1.2), study.add(1.01, full=1.0, hidden=16, holdout=True)
    study.add(3.0, tokens=2000)
    choice = study.choose(finalists=2)
    assert (choice.best, choice.ties, choice.certain) == (best, (), True)
    assert choice.lead == pytest.approx(math.log(1.2))
    assert choice.needed == pytest.approx(2.7764 * math.sqrt(2) * 0.008, rel=1e-4)  # t of 4 degrees of freedom
    assert [c.validation is not None for c in choice.candidates] == [True, True, False]
    for words in ("best at 1.0000 bpb (0.9900 to 1.0100)", "by 20.0 %", "up to 3.19 %", "assumed 0.80 %"):
        assert words in choice.said
    check_promotable(choice, best, force=False)
    with pytest.raises(ValueError, match=r"is not the best of tiny by bpb.*--force"):
        check_promotable(choice, first_on_slice, force=False)
    check_promotable(choice, first_on_slice, force=True)


def test_a_tie_is_called_one_and_says_what_to_train(study: MadeUp) -> None:
    best, rival = study.add(1.0), study.add(1.02, hidden=16)
    far = study.add(1.5, tokens=2000)
    choice = study.choose(finalists=1)
    assert (choice.best, choice.ties, choice.certain) == (best, (rival,), False)
    assert "tie with d16-L1-V300-D1k-s0: it leads d16-L1-V300-D1k-s0 by 2.00 %" in choice.said
    assert "{hidden_size: 8, tokens: 1000, seed: [1, 2]} under space" in choice.said
    for trial_id in (best, rival, far):
        with pytest.raises(ValueError, match="--force"):
            check_promotable(choice, trial_id, force=False)
        check_promotable(choice, trial_id, force=True)


def test_the_rows_that_are_proposed_repeat_the_two_kinds(study: MadeUp) -> None:
    study.add(1.0)
    study.add(1.02, hidden=16)
    rows = study.choose().said.split("add ")[1].split(" to the study's YAML")[0].split(" and ")
    grids = [yaml.safe_load(row.removesuffix(" under space")) for row in rows]
    grids = [
        {name: tuple(value) if isinstance(value, list) else value for name, value in grid.items()} for grid in grids
    ]
    before, after = (make_plan(replace(study.resolved.study, space=space)).trials
                     for space in (({"hidden_size": (8, 16), "tokens": 1000},), grids))  # fmt: skip
    assert {kind_of(trial) for trial in after} == {kind_of(trial) for trial in before}
    assert {trial.train.seed for trial in after} == {1, 2}


def test_seeds_of_one_kind_are_no_rivals_and_their_noise_is_measured(study: MadeUp) -> None:
    seeds = [study.add(bpb, seed=seed) for seed, bpb in enumerate((1.000, 1.004, 0.996))]
    other = study.add(1.05, hidden=16)
    choice = study.choose(finalists=1)
    assert (choice.best, choice.ties) == (seeds[2], ())
    assert choice.candidates[3].trial_id == other
    logs = np.log([1.0, 1.004, 0.996])
    sd = math.sqrt((4 * 0.008**2 + 2 * logs.var(ddof=1)) / 6)
    assert choice.lead == pytest.approx(math.log(1.05) - logs.mean())
    assert choice.needed == pytest.approx(2.4469 * sd * math.sqrt(1 / 3 + 1), rel=1e-4)  # t of 6 degrees of freedom
    assert "on 3 runs of 1 kind(s)" in choice.yardstick
    assert "the mean of its 3 seeds leads that of" in choice.said
    assert "no rivals: d8-L1-V300-D1k-s0 (1.0000), d8-L1-V300-D1k-s1 (1.0040)" in choice.said
    alone = replace(study.resolved, trials=tuple(study.trials[:3]))
    only = choose(study.store, alone, by="bpb", corpus=study.corpus, say=lambda _: None)
    assert (only.best, only.lead, only.needed, only.certain) == (seeds[2], None, None, True)


def test_one_lucky_seed_of_a_worse_kind_is_no_winner(study: MadeUp) -> None:
    lucky = [study.add(bpb, seed=seed) for seed, bpb in enumerate((0.99, 1.03, 1.03))]
    steady = [study.add(1.0, seed=seed, hidden=16) for seed in range(3)]
    choice = study.choose()
    assert (choice.best, choice.ties, choice.certain) == (lucky[0], tuple(steady), False)
    assert "is behind that of" in choice.said


@pytest.mark.parametrize("runs", [(1, 1), (1, 1, 1, 1, 1), (3, 3), (6, 1), (2, 2, 2)])
def test_among_equal_kinds_a_best_one_is_certain_in_one_of_twenty_studies_at_most(runs: tuple[int, ...]) -> None:
    generator, certain, studies = np.random.default_rng(0), 0, 3000
    kinds = [str(kind) for kind, count in enumerate(runs) for _ in range(count)]
    for bpb in np.exp(0.008 * generator.standard_normal((studies, len(kinds)))):
        luck = seed_luck(bpb, kinds)
        groups = {kind: bpb[[other == kind for other in kinds]] for kind in kinds}
        own = groups.pop(kinds[int(bpb.argmin())])
        certain += all(mean_log(other) - mean_log(own) > luck.needed(len(own), len(other)) for other in groups.values())
    assert certain / studies < 0.05 + 2 * math.sqrt(0.05 * 0.95 / studies)


def test_more_seeds_tell_kinds_apart_that_single_runs_do_not() -> None:
    generator, found = np.random.default_rng(1), {1: 0, 6: 0}
    for seeds in found:
        kinds = ["a"] * seeds + ["b"] * seeds
        for draw in 0.008 * generator.standard_normal((300, 2 * seeds)):
            bpb = np.exp(draw + 0.016 * np.array([kind == "b" for kind in kinds]))
            found[seeds] += mean_log(bpb[seeds:]) - mean_log(bpb[:seeds]) > seed_luck(bpb, kinds).needed(seeds, seeds)
    assert found[1] < 100
    assert found[6] > 240


def test_by_grade_the_newest_judge_ranks_and_its_comparisons_decide(study: MadeUp) -> None:
    ids = [study.add(1.0 + i / 10, hidden=8 + 8 * (i % 2), tokens=1000 * (1 + i // 2)) for i in range(4)]
    a, b, c, d = map(study.name, ids)
    study.grade({d: 9.0}, [], last_s=1.0)
    study.grade({c: 7.5, a: 7.0, "imported": 9.9, b: None}, [(c, a, False), ("imported", c, False)])
    choice = study.choose("grade")
    assert (choice.best, choice.certain) == (ids[2], True)
    assert [x.trial_id for x in choice.candidates] == [ids[2], ids[0]]
    assert (choice.lead, choice.needed) == (0.5, pytest.approx(0.3))
    assert choice.candidates[0].grade == span(7.5)
    assert choice.candidates[0].stories_per_prompt == 2.0
    assert choice.candidates[1].validation
    assert "judge-5" in choice.yardstick
    assert "4 of 10 stories are ungraded" in choice.refused[ids[1]]
    assert "not graded by the newest judge" in choice.refused[ids[3]]


@pytest.mark.parametrize("pairs", [[(0, 1, True)], [], [(1, 0, False)]])
def test_by_grade_what_is_not_shown_to_differ_is_a_tie(study: MadeUp, pairs: list[tuple[int, int, bool]]) -> None:
    ids = [study.add(1.0), study.add(1.1, hidden=16), study.add(1.2, seed=1)]
    names = list(map(study.name, ids))
    study.grade(dict(zip(names, (7.5, 7.0, 7.4), strict=True)), [(names[i], names[j], tie) for i, j, tie in pairs])
    choice = study.choose("grade")
    assert (choice.best, choice.ties) == (ids[0], (ids[1],))
    assert "is a tie with" in choice.said
    assert f"no rivals: {names[2]}" in choice.said
    with pytest.raises(ValueError, match=r"a tie with .* --force"):
        check_promotable(choice, ids[0], force=False)


def test_by_grade_without_a_grade_says_how_to_get_one(study: MadeUp) -> None:
    trial_id = study.add(1.0)
    with pytest.raises(ValueError, match="`tinyscale grade tiny`"):
        study.choose("grade")
    study.grade({study.name(trial_id): None}, [])
    with pytest.raises(ValueError, match="4 of 10 stories are ungraded"):
        study.choose("grade")


def test_the_front_holds_what_no_other_beats(study: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model larger and worse than another stays where it has fewer layers and is faster; of a shape one is timed."""
    small = study.add(1.5)
    worse_seed = study.add(1.6, seed=1)
    deep = study.add(1.0, layers=4)
    lucky = study.add(0.999, layers=5)
    wide = study.add(1.2, hidden=16)
    slow = study.add(1.3, hidden=24, layers=2)
    timed = []

    def speeds(folders: dict[ModelConfig, Path]) -> dict[ModelConfig, float]:
        timed.extend(folders)
        return {model: 1000 / model.num_layers * (1.03 if model.hidden_size == 24 else 1) for model in folders}

    monkeypatch.setattr(by_pareto, "generation_speeds", speeds)
    choice = study.choose("pareto")
    sizes = {c.trial_id: c.params_total for c in choice.candidates}
    assert sizes[small] < sizes[deep] < sizes[lucky] < sizes[wide] < sizes[slow]
    assert choice.front == (small, deep, lucky, wide)
    assert (choice.best, choice.certain, len(timed)) == ("", False, 5)
    assert [c.trial_id for c in choice.candidates][4:] == [slow, worse_seed]
    assert all(c.validation for c in choice.candidates[:4])
    assert {c.trial_id: c.generation_tokens_per_s for c in choice.candidates}[worse_seed] == 1000
    assert f"{study.name(lucky)} is a tie in bits per byte with the smaller {study.name(deep)}" in choice.said
    assert choice.said.count("is a tie") == 1
    check_promotable(choice, deep, force=False)
    with pytest.raises(ValueError, match=r"not on the front.*--force"):
        check_promotable(choice, slow, force=False)
    check_promotable(choice, slow, force=True)


def test_fewer_layers_are_measured_to_be_faster(study: MadeUp) -> None:
    shallow, deep = study.add(2.0, layers=1), study.add(1.0, layers=6)
    choice = study.choose("pareto")
    assert choice.front == (shallow, deep)
    fast, slow = (c.generation_tokens_per_s for c in choice.candidates)
    assert fast is not None
    assert slow is not None
    assert fast > 1.5 * slow


def test_what_is_no_finished_model_is_refused_whatever_the_force(study: MadeUp) -> None:
    good = study.add(1.0)
    gone, recites = study.add(0.9, tokens=2000), study.add(0.8, seed=5)
    (study.store.trial(gone).model / "model.safetensors").unlink()
    refused = {
        study.add(
            1.0, hidden=16, status="diverged", message="loss is nan at step 9"
        ): "diverged .loss is nan at step 9",
        study.add(1.0, hidden=16, seed=1, status="pruned", message="behind"): "scheduler=fifo",
        study.add(1.0, hidden=16, seed=2, status="failed", message="disk full"): "disk full.*launch the study again",
        study.add(1.0, hidden=16, seed=3, status="unfinished"): "not finished: launch",
        gone: "its model is gone",
        recites: "recites: 11 of the 100 stories it told",
    }
    measures = (told(study.name(good), copied=10), told(study.name(recites), copied=11))
    write_grading(study.store.path, GradeSummary(instrument=None, judge_free=measures))
    choice = study.choose()
    assert choice.refused.keys() == refused.keys()
    assert [c.trial_id for c in choice.candidates] == [good]
    for trial_id, reason in refused.items():
        for force in (False, True):
            with pytest.raises(ValueError, match=reason):
                check_promotable(choice, trial_id, force=force)
    with pytest.raises(ValueError, match="no trial of tiny"):
        check_promotable(choice, "d9-nobody", force=True)


def told(name: str, copied: int) -> JudgeFree:
    return JudgeFree(model=name, stories=100, finished=1.0, mean_words=50.0, distinct={}, rouge_l=0.1, copied=copied)


def test_a_study_measured_on_what_it_was_trained_on_promotes_nothing(study: MadeUp, tmp_path: Path) -> None:
    study.add(1.0)
    text = study.corpus.valid[0].read_text()
    train = tmp_path / "train.txt"
    first, *_ = text.split("<|endoftext|>")
    train.write_text(f"{first}<|endoftext|>\nAnother story.\n<|endoftext|>\n")
    study.corpus = replace(study.corpus, train=(train,), digest="f" * 64)
    with pytest.raises(ValueError, match=r"contaminated: 1 of the 10 validation stories, .* take them out"):
        study.choose()


def test_a_trial_is_found_by_id_name_and_folder(study: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    trial_id = study.add(1.0)
    study.add(1.1, hidden=16)
    monkeypatch.chdir(study.path)
    folder = study.store.trial(trial_id).path
    for ref in (trial_id, study.name(trial_id), str(folder), f"runs/tiny/trials/{trial_id}/", str(folder / "model")):
        assert find_trial(study.store, study.resolved, ref).id == trial_id
    with pytest.raises(ValueError, match=r"did you mean .*d16-L1-V300-D1k-s0"):
        find_trial(study.store, study.resolved, "d16-L1-V300-D1k-s7")
    for ref in ("nothing like it", f"runs/other/trials/{trial_id}"):
        with pytest.raises(ValueError, match="no trial of tiny has this id, name or folder"):
            find_trial(study.store, study.resolved, ref)


@pytest.fixture
def run(
    study: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``tinyscale choose tiny WORDS``: exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        from tinyscale.cli import main

        write_json(study.store.study, study.resolved)
        monkeypatch.setattr(
            sys, "argv", ["tinyscale", "choose", "tiny", *words, "--storage", str(study.store.path.parent)]
        )
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


def test_on_the_terminal_it_fits_80_columns_and_says_what_to_type(
    study: MadeUp, run: Callable[..., tuple[int, str, str]]
) -> None:
    study.add(1.0)
    study.add(1.004, hidden=16)
    study.add(1.0, hidden=16, tokens=2000, status="diverged", message="loss is nan")
    code, out, _ = run()
    assert code == 0
    table, _, words = out.partition("slice:")
    assert max(map(len, table.splitlines())) <= 80
    assert [line.split()[1] for line in table.splitlines() if line.startswith(" d")] == ["first", "tie"]
    assert "is a tie with d16-L1-V300-D1k-s0" in words
    assert "left out: d16-L1-V300-D2k-s0" in words
    assert "tinyscale promote tiny --to OWNER/NAME --force --dry-run" in words


def test_json_is_the_whole_choice_and_nothing_else(study: MadeUp, run: Callable[..., tuple[int, str, str]]) -> None:
    best = study.add(1.0)
    study.add(1.5, hidden=16)
    code, out, err = run("--json", "--finalists", "1")
    choice = json.loads(out)
    assert (code, err, choice["best"], choice["by"]) == (0, "", best, "bpb")
    assert choice["candidates"][0]["validation"]["bpb"]["value"] == 1.0
    code, out, err = run("--by", "grade")
    assert (code, out) == (2, "")
    assert "tinyscale grade tiny" in err
