"""The model card: every number from a stored result, hostile text inert, metadata as the hub reads them."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.data.corpus import CorpusFiles
from tinyscale.grading.results import write_grading
from tinyscale.grading.stories import write_stories
from tinyscale.laws import predict
from tinyscale.laws.forecast import lock_forecasts
from tinyscale.laws.study import fit_law
from tinyscale.model.hf_folder import write_hf_folder
from tinyscale.model.presets import preset_defaults
from tinyscale.model.sample import generate
from tinyscale.model.transformer import Transformer
from tinyscale.promote.card.law import find_outcome
from tinyscale.promote.card.points_csv import COLUMNS, law_points, points_csv, refit_command
from tinyscale.promote.card.repo_files import public_law, public_study, repo_files
from tinyscale.promote.card.samples import Sample, tell_samples
from tinyscale.promote.card.write import CardFacts, choice_lines, gather_facts, write_card
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    BuiltinCorpus,
    Calibration,
    Candidate,
    Choice,
    Comparison,
    Corpus,
    ExportProof,
    FilesCorpus,
    Forecast,
    GradeSummary,
    Grading,
    HubCorpus,
    Instrument,
    Interval,
    Judge,
    JudgeFree,
    LawFit,
    ModelConfig,
    ModelScore,
    Point,
    ResolvedStudy,
    Story,
    Study,
    TokenizerSpec,
    TrainConfig,
    Trial,
    TrialResult,
    Validation,
    digest,
    from_json,
    read_json,
    write_json,
)
from tinyscale.spec.load import load_study
from tinyscale.spec.study import LawOptions, Tracking
from tinyscale.tracking.origin import Origin, note_origin

COMMIT = "c" * 40
EVIL = (
    '"]\n---\nlicense: evil\n---\n# Pwn\n\n<script>alert(1)</script> <img src=x onerror=alert(2)> '
    "[click](javascript:alert(3)) ![p](http://evil.example/x.png) http://evil.example a@evil.example | a | b |\n"
    "```\n- item\n1. one\n> quote\n\u202eback\rnext {{ 7 * 7 }} {% raw %} $x$ &lt;b&gt; **bold** _it_ `tick` ~~no~~"
)
HUB = HubCorpus()
WIDE = (250_000, 700_000, 2_000_000)


def span(value: float) -> Interval:
    return Interval(value=value, low=0.98 * value, high=1.02 * value)


@dataclass
class Made:
    """A made-up study on the disk."""

    store: StudyStore
    resolved: ResolvedStudy
    export: Path
    results: dict[str, TrialResult]

    def trial(self, *, holdout: bool, vocab_size: int = 512) -> Trial:
        found = [t for t in self.resolved.trials if t.holdout == holdout and t.model.vocab_size == vocab_size]
        return max(found, key=lambda t: (t.model.hidden_size, t.train.tokens))

    def facts(self, trial: Trial, **given: Any) -> CardFacts:
        result = self.results[trial.id]
        names = sorted(self.results.values(), key=lambda r: r.points[-1].bpb)
        candidates = tuple(
            Candidate(trial_id=r.trial_id, name=r.name, hidden_size=p.hidden_size, num_layers=2, slice_bpb=p.bpb,
                      vocab_size=p.vocab_size, params_total=p.params_total, tokens=p.tokens)
            for r in names for p in r.points[-1:]
        )  # fmt: skip
        known: dict[str, Any] = {
            "repo": "someone/tiny",
            "export": self.export,
            "choice": Choice(study="made", by="bpb", candidates=candidates, best=names[0].trial_id, lead=0.2,
                             needed=0.0264, yardstick="assumed 0.95 % between seeds"),
            "proof": ExportProof(loader="LlamaForCausalLM of transformers 5.23.0", dtype="fp32", logit_difference=2e-6,
                                 greedy_tokens=256, bpb=1.25, our_bpb=1.25, bytes=20_000),
            "validation": Validation(model_digest=result.model_digest, corpus=trial.corpus, bpb=span(1.2345),
                                     loss=span(2.3456), stories=1_000, bytes=765_432, tokens=234_567,
                                     context_length=64),
            "corpus": CorpusFiles(digest=trial.corpus, train=(), valid=(), train_bytes=12_345_678, valid_bytes=765_432,
                                  train_stories=20_000, valid_stories=1_000),
            "samples": [Sample(prompt="Once upon", completion=" a time.\nA cat.", tokens=9, ended=True)],
        }  # fmt: skip
        return gather_facts(self.store, self.resolved, trial, **{**known, **given})

    def card(self, trial: Trial, **given: Any) -> str:
        return write_card(self.facts(trial, **given))


def make_trial(hidden: int, tokens: int, corpus: str, *, vocab_size: int = 512, holdout: bool = False) -> Trial:
    model = ModelConfig(
        preset="llama", vocab_size=vocab_size, hidden_size=hidden, num_layers=2, num_heads=4, num_kv_heads=4,
        intermediate_size=8 * hidden // 3, context_length=64, **preset_defaults("llama"),
    )  # fmt: skip
    train = TrainConfig(tokens=tokens, batch_size=32, learning_rate=3e-3, warmup_steps=10)
    return Trial(model=model, train=train, corpus=corpus, tokenizer="t", holdout=holdout)


def make_result(trial: Trial, generator: np.random.Generator) -> TrialResult:
    model, counted, tokens = trial.model, count_parameters(trial.model), trial.steps * trial.batch_tokens
    bpb = float(predict(0.82, 20.0, 900.0, 0.38, 0.50, N=counted.total, D=tokens))
    bpb *= float(np.exp(0.002 * generator.standard_normal()))
    point = Point(
        trial_id=trial.id, params_total=counted.total, params_non_embedding=counted.non_embedding,
        hidden_size=model.hidden_size, num_layers=2, vocab_size=model.vocab_size, tokens=tokens,
        text_bytes=1.9 * tokens, flops=training_flops(model, tokens), loss=1.3 * bpb, bpb=bpb,
        learning_rate=3e-3, seed=0, holdout=trial.holdout,
    )  # fmt: skip
    return TrialResult(
        trial_id=trial.id, name=trial.name, status="done", points=(point,), steps=trial.steps, train_s=4_321.0,
        tokens_per_s=80_000.0, device="EPYC", engine="zero", precision="fp32", kernels="torch", eval_bytes=199_950,
        eval_tokens=61_234, model_digest=digest(trial.id), versions={"torch": "2.13.0"}, started_s=2e9,
        finished_s=2e9 + 5_000,
    )  # fmt: skip


def make(folder: Path, corpus: Corpus, **study: Any) -> Made:
    """Twelve fitted trials, one of another vocabulary, and a hold-out with its forecast locked."""
    key = digest({"repo": HUB.repo, "commit": COMMIT, "train": HUB.train, "valid": HUB.valid})
    text = key if corpus.source == "hub" else "c0ffee" * 10
    trials = [make_trial(hidden, tokens, text) for hidden in (16, 32, 48, 64) for tokens in WIDE]
    trials += [make_trial(48, 700_000, text, vocab_size=1024), make_trial(96, 4_000_000, text, holdout=True)]
    generator = np.random.default_rng(5)
    results = {trial.id: make_result(trial, generator) for trial in trials}
    store, export = StudyStore(folder / "made"), folder / "export"
    options = {"question": "How?", "space": ({"hidden_size": 16},), "law": LawOptions(bootstraps=50), **study}
    resolved = ResolvedStudy(study=Study(name="made", corpus=corpus, **options), trials=tuple(trials))
    write_json(store.study, resolved)
    for trial_id, result in results.items():
        write_json(store.trial(trial_id).result, result)
    law = fit_law(store).law
    assert law
    store.forecasts.mkdir()
    lock_forecasts(store.forecasts, law, trials[-1:])
    note_origin(store.launches, Origin(started_s=1e9, user="somebody", commit="f" * 40, dirty=True, versions="tiny 1"))
    export.mkdir()
    write_json(export / "config.json", {"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    write_json(export / "generation_config.json", {"temperature": 0.8, "top_p": 0.95, "max_length": 64})
    return Made(store=store, resolved=resolved, export=export, results=results)


def grade(made: Made, trial: Trial, text: str = "a cat", judge: str = "judge-mini") -> None:
    stories = [
        Story(model=trial.name, model_digest=made.results[trial.id].model_digest, prompt_id=f"p{i}", prompt=f"Once {i}",
              completion=f" {text} {i}", max_tokens=300)
        for i in range(3)
    ]  # fmt: skip
    stories.append(replace(stories[0], model_digest="other"))
    write_stories(made.store.trial(trial.id).stories, stories)
    instrument = Instrument(model=judge, base_url="https://me:hunter2@judge.example:8443/v1?key=s3cret", seed=0,
                            protocol="strict", temperature=0.0, max_tokens=500, rubric="r1c")  # fmt: skip
    means = {name: span(6.5) for name in ("overall", "grammar", "creativity", "consistency", "plot")}
    score = ModelScore(model=trial.name, prompts=3, stories=3, ungraded=0, means=means, ages={"B": 1, "C": 2})
    free = JudgeFree(model=trial.name, stories=3, finished=1.0, mean_words=54.6, rouge_l=0.15, longest_copy=10.7,
                     longest_copy_max=18, distinct={"1": 0.2, "2": 0.6, "3": 0.8})  # fmt: skip
    write_grading(
        made.store.path,
        GradeSummary(
            instrument=instrument, first_s=2e9, last_s=2e9 + 60, scores=(score,), judge_free=(free,),
            comparisons=(Comparison(better=trial.name, worse="other", criterion="overall", difference=span(0.2),
                                    prompts=3, tie=False),),
            calibration=Calibration(can_tell=True, kappa={"plot": 0.9}, repeats=25, answered_by=(judge,)),
        ),
    )  # fmt: skip


def front_matter(card: str) -> tuple[dict[str, Any], str]:
    found = re.match(r"---\n(.*?)\n---\n(.*)", card, re.DOTALL)
    assert found
    return yaml.safe_load(found[1]), found[2]


def page(card: str) -> str:
    """The body as HTML, HTML of its own let through."""
    return str(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(front_matter(card)[1]))


def check(card: str) -> str:
    """What every card must be; its page."""
    html = page(card)
    for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        columns = {len(re.findall(r"<t[hd]", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)}
        assert len(columns) == 1, table
    assert html.count("<h1>") == 1
    assert re.findall(r'<img src="([^"]*)"', html) == ["law.png"]
    assert not re.search(r"\|---|More Information Needed|\bnan\b|None(?! of)\b|/home/|/root/", html), (
        "unrendered or unknown"
    )
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == ["Use", "Samples", "Losses", "The law of the study", "Grades", "Training", "Text and licence",
                        "Limits", "Where it comes from"]  # fmt: skip
    return html


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("builtin"), BuiltinCorpus(train_stories=20_000))


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Made:
    """A copy to change."""
    import shutil

    shutil.copytree(made.store.path, tmp_path / "made")
    return replace(made, store=StudyStore(tmp_path / "made"))


def test_numbers_are_those_stored(made: Made) -> None:
    trial = made.trial(holdout=True)
    result, card = made.results[trial.id], made.card(trial)
    html = check(card)
    point, law = result.points[0], read_json(LawFit, made.store.law)
    for told in (
        f"{point.params_total:,} parameters", f"{point.tokens:,} tokens", "1.2345", "1.2098 to 1.2592", "2.3456",
        "765,432 bytes", "199,950 bytes", f"{point.bpb:.4f}", f"{point.loss:.4f}", f"{point.flops:.4g}",
        "80,000 tokens/s", "4,321 s (1.2 h)", "1.900 bytes of the training text", "How?", trial.id,
        result.model_digest, "f" * 40, "not committed (dirty)", "tiny 1",
        "256 greedy tokens", "2.0e-06", f"{law.alpha:#.4g}", "trusted",
        "22 %", "2.68 %", "no text of third parties", "No judge has graded this model", "no peak is known",
    ):  # fmt: skip
        assert told in html, told
    assert "somebody" not in card, "who launched it is nobody's business"


def test_metadata_are_what_the_hub_reads(made: Made, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard, metadata_eval_result, metadata_load

    card = made.card(made.trial(holdout=True))
    read = ModelCard(card)
    assert (read.data.license, read.data.language, read.data.library_name) == ("apache-2.0", ["en"], "transformers")
    assert (read.data.pipeline_tag, read.data.tags) == ("text-generation", ["tinyscale", "scaling-laws", "llama"])
    assert read.data.datasets is None
    assert read.data.model_name == "tiny"
    results = {r.metric_type: r for r in read.data.eval_results}
    assert results["bits_per_byte"].metric_value == 1.2345
    assert results["loss"].metric_value == 2.3456
    assert results["loss"].dataset_split == "validation"
    assert all(r.verified is None for r in read.data.eval_results)
    (tmp_path / "README.md").write_text(card)
    assert metadata_load(tmp_path / "README.md")["model-index"] == front_matter(card)[0]["model-index"]
    one = {"task_pretty_name": "Text Generation", "task_id": "text-generation", "metrics_pretty_name": "x",
           "metrics_id": "loss", "metrics_value": 2.3456, "dataset_pretty_name": "y", "dataset_id": "z"}  # fmt: skip
    assert metadata_eval_result(model_pretty_name="tiny", **one)["model-index"][0].keys() == (
        front_matter(card)[0]["model-index"][0].keys()
    )
    assert "&id" not in card, "YAML without anchors"


def test_forecast_of_a_hold_out_against_its_outcome(made: Made) -> None:
    trial = made.trial(holdout=True)
    (locked,) = made.facts(trial).forecasts
    html = page(made.card(trial))
    assert locked.predicted
    assert f"<strong>{locked.predicted.value:.4f} ({locked.predicted.low:.4f} to {locked.predicted.high:.4f})" in html
    assert "<strong>inside</strong>" in html
    assert "fitted on 12 other points" in html
    assert "count it as no test" not in html
    facts = made.facts(trial)
    late = find_outcome(facts.law, facts.forecasts, replace(facts.result, started_s=1.0))
    assert "count it as no test" in page(write_card(replace(facts, outcome=late)))


def test_what_the_law_says_of_a_model_it_has_seen(made: Made) -> None:
    html = check(made.card(made.trial(holdout=False)))
    assert "one of the points that the law was fitted on, so this is no test of it" in html
    other = check(made.card(made.trial(holdout=False, vocab_size=1024)))
    assert "has not seen it (vocabulary 1024: this law is of vocabulary 512)" in other


def test_a_withheld_law_states_no_exponent(own: Made) -> None:
    law = replace(read_json(LawFit, own.store.law), warnings=("N spans too little: add sizes.",), forecast_holds=False)
    write_json(own.store.law, law)
    for path in own.store.forecasts.iterdir():
        path.unlink()
    lock_forecasts(own.store.forecasts, law, [own.trial(holdout=True)])
    html = check(own.card(own.trial(holdout=True)))
    assert "bpb = E + A / N^alpha + B / D^beta" in html
    assert "forecast withheld, exponents withheld" in html
    assert html.count("N spans too little: add sizes.") == 2, "of the law, and of the forecast"
    for name in ("E", "A", "B", "alpha", "beta"):
        assert f"{getattr(law, name):#.4g}" not in html
    assert "forecasts are withheld" in check(own.card(own.trial(holdout=False)))


def test_without_a_law_the_reason_stands_there(own: Made) -> None:
    few = own.resolved.trials[:3]
    own.resolved = replace(own.resolved, trials=few)
    write_json(own.store.study, own.resolved)
    own.store.law.unlink()
    facts = own.facts(few[0])
    html = check(write_card(facts))
    assert "There is no law: 3 distinct point(s)" in html
    assert "Without a law nothing was forecast" in html
    assert "tinyscale fit" not in html
    files = repo_files(own.store, own.resolved, facts, card="", picture=b"", export=own.export)
    assert "law.json" not in files
    assert str(files["points.csv"]).count("\n") == 4


def test_a_law_of_other_points_is_refused(own: Made) -> None:
    own.store.trial(own.resolved.trials[0].id).result.unlink()
    with pytest.raises(
        ValueError, match="12 points, and the study's results now give 11, or others: fit the law again"
    ):
        own.facts(own.trial(holdout=True))
    law = read_json(LawFit, own.store.law)
    write_json(own.store.law, replace(law, alpha=law.alpha * 1.01))
    write_json(own.store.trial(own.resolved.trials[0].id).result, own.results[own.resolved.trials[0].id])
    with pytest.raises(ValueError, match=r"other parameters than law.json, by 0.0099: fit the law again"):
        own.facts(own.trial(holdout=True))


def test_measurements_of_another_model_or_text_are_refused(made: Made) -> None:
    trial = made.trial(holdout=True)
    facts = made.facts(trial)
    with pytest.raises(ValueError, match="the model of the validation is eeeee"):
        made.facts(trial, validation=replace(facts.validation, model_digest="e" * 64))
    with pytest.raises(ValueError, match="the corpus is 0000"):
        made.facts(trial, corpus=CorpusFiles("0" * 64, (), (), 1, 1, 1, 1))


def test_grades_with_judge_protocol_and_intervals(own: Made) -> None:
    trial = own.trial(holdout=True)
    grade(own, trial)
    facts = own.facts(trial)
    card = write_card(facts)
    html = check(card)
    for told in ("<code>judge-mini</code> at <code>judge.example</code>", "3 stories from 3 beginnings",
                 "rubric <code>r1c", "one call a story", "6.50", "6.37 to 6.63", "0.90 in plot",
                 "over 25 stories", "B 33%", "18 at most",
                 "0.200 (n = 1)", "is better than other"):  # fmt: skip
        assert told in html, told
    results = front_matter(card)[0]["model-index"][0]["results"]
    name = "overall grade of 1 to 10, judge judge-mini, protocol strict, rubric r1c"
    assert results[1]["metrics"][0] == {"type": "judge_grade", "value": 6.5, "name": name}
    files = repo_files(own.store, own.resolved, facts, card=card, picture=b"", export=own.export)
    kept = json.loads(str(files["grades.json"]))
    assert from_json(ModelScore, kept["score"]) == facts.grades.score
    assert kept["instrument"]["base_url"] == "https://judge.example/v1"
    assert str(files["stories.jsonl"]).count("\n") == 3, "those of other weights are left out"
    assert not any("hunter2" in str(content) or "s3cret" in str(content) for content in files.values())


def test_without_a_judge_the_measures_stand_alone(own: Made) -> None:
    trial = own.trial(holdout=True)
    grade(own, trial)
    summary = next((own.store.path / "grades").glob("*/summary.json"))
    free = replace(read_json(GradeSummary, summary), instrument=None, scores=(), comparisons=())
    summary.unlink()
    write_grading(own.store.path, free)
    html = check(own.card(trial))
    assert "No judge has graded this model." in html
    assert "Without a judge, over 3 stories" in html


def test_a_hub_data_set_is_named_with_its_commit_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYSCALE_CACHE", str(tmp_path / "cache"))
    write_json(tmp_path / "cache/hub/roneneldan--TinyStories/main.json", {"commit": COMMIT})
    made = make(tmp_path, HUB, question="")
    card = made.card(made.trial(holdout=True))
    data, html = front_matter(card)[0], check(card)
    assert (data["license"], data["datasets"], data["language"]) == (
        "cdla-sharing-1.0",
        ["roneneldan/TinyStories"],
        ["en"],
    )
    assert "tinystories" in data["tags"]
    assert data["model-index"][0]["results"][0]["dataset"]["revision"] == COMMIT
    assert f"at commit <code>{COMMIT}</code>" in html
    assert "licence is <code>cdla-sharing-1.0</code>, that of its text" in html
    other = replace(made.resolved.study, corpus=replace(HUB, repo="a/b"))
    with pytest.raises(ValueError, match=r"the licence of the data set a/b is not known here.*--license"):
        replace(made, resolved=replace(made.resolved, study=other)).card(made.trial(holdout=True))


def test_local_files_need_a_licence_and_keep_their_folders_to_themselves(tmp_path: Path) -> None:
    corpus = FilesCorpus(train=("/data/me/secret project/a|b.txt",), valid=("C:\\texts\\v.txt",))
    made = make(tmp_path, corpus)
    trial = made.trial(holdout=True)
    with pytest.raises(ValueError, match=r"study's own text files is not known here.*--license LICENSE"):
        made.facts(trial)
    with pytest.raises(ValueError, match="no licence 'mine'"):
        made.facts(trial, licence="mine")
    facts = made.facts(trial, licence="cc-by-4.0")
    card = write_card(facts)
    html = check(card)
    data = front_matter(card)[0]
    assert data["license"] == "cc-by-4.0"
    assert "language" not in data, "nobody looked"
    assert "datasets" not in data
    assert "as stated by whoever published it" in html
    assert "local files (a|b.txt)" in html
    files = repo_files(made.store, made.resolved, facts, card=card, picture=b"", export=made.export)
    assert not any(b"secret project" in str(content).encode() for content in files.values())


def test_hostile_text_is_read_and_nothing_more(own: Made) -> None:
    trial = own.trial(holdout=True)
    grade(own, trial, text=EVIL, judge=EVIL)
    own.resolved = replace(own.resolved, study=replace(own.resolved.study, question=EVIL))
    samples = [Sample(prompt="Once upon a time", completion=EVIL, tokens=9, ended=False)]
    proof = replace(own.facts(trial).proof, loader=EVIL)
    choice = replace(own.facts(trial).choice, yardstick=EVIL)
    card = own.card(trial, samples=samples, proof=proof, choice=choice)
    html = check(card)
    data, _ = front_matter(card)
    assert data["license"] == "apache-2.0"
    assert not re.search(
        r"<(script|del|em>it|strong>bold)|javascript:[^)]*\"|onerror=[^&]*>", html.replace("&lt;", "‹")
    )
    links = set(re.findall(r'href="([^"]*)"', html))
    assert links == set()
    assert "\u202e" not in card
    assert "back next {{ 7 * 7 }} {% raw %}" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&amp;lt;b&amp;gt;" in html, "an entity is shown as it was written"
    from huggingface_hub import ModelCard

    assert ModelCard(card).data.license == "apache-2.0"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "it is the best of 14 models, for certain (95 %)."),
        ({"ties": ("x",)}, "it comes first of 14 models, but that is a tie with x."),
        ({"best": "x", "ties": ("me",)}, "x comes first of 14 models, and this one is tied with it."),
        ({"best": "x"}, "another of 14 models comes first, x: this one was chosen by hand."),
        ({"lead": None, "needed": None}, "it is the best of 14 models, with none of another kind to compare it with."),
        ({"by": "pareto", "best": "", "front": ("me",)}, "It is one of the 1 of 14 models that no other beats"),
        (
            {"by": "grade", "lead": 0.3, "needed": 0.1},
            "another kind by 0.30 points, and luck explains up to 0.10 points",
        ),
    ],
)
def test_the_choice_in_words(made: Made, given: dict[str, Any], told: str) -> None:
    trial = made.trial(holdout=True)
    mine = {"best": trial.id, **given}
    mine = {
        name: trial.id if value == "me" else (trial.id,) if value == ("me",) else value for name, value in mine.items()
    }
    assert told in " ".join(choice_lines(replace(made.facts(trial).choice, **mine), trial))


def test_a_rounded_export_is_said(made: Made) -> None:
    trial = made.trial(holdout=True)
    proof = replace(made.facts(trial).proof, dtype="bf16")
    assert "those published are rounded to bf16" in page(made.card(trial, proof=proof))


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], LawFit]:
    """The command of a card, typed in a folder; what it saved."""

    def run(command: str) -> LawFit:
        from tinyscale.cli import main

        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code, capsys.readouterr().err
        return read_json(LawFit, tmp_path / "refit.json")

    monkeypatch.chdir(tmp_path)
    return run


def same_law(one: LawFit, other: LawFit) -> bool:
    names = ("E", "A", "B", "alpha", "beta")
    return all(getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9) for name in names)


def test_the_files_of_the_card_give_the_law_again(made: Made, tmp_path: Path, fit: Callable[[str], LawFit]) -> None:
    facts = made.facts(made.trial(holdout=True))
    card = write_card(facts)
    files = repo_files(made.store, made.resolved, facts, card=card, picture=b"", export=made.export)
    for name in ("points.csv", "law.json"):
        (tmp_path / name).write_text(str(files[name]))
    (command,) = [line for line in card.splitlines() if line.startswith("tinyscale fit")]
    assert same_law(fit(command), read_json(LawFit, tmp_path / "law.json"))
    assert "largest relative difference of 0;" in card


@pytest.mark.parametrize("params", ["total", "non_embedding", "effective"])
def test_points_are_told_apart_whatever_n_counts(
    made: Made, tmp_path: Path, fit: Callable[[str], LawFit], params: Any
) -> None:
    """Seeds, and another shape of equal N, D and seed."""
    from tinyscale.laws import fit_points

    points = [point for result in made.results.values() for point in result.points]
    twin = replace(points[3], trial_id="twin", hidden_size=40, num_layers=3, bpb=points[3].bpb * 1.001)
    seeded = replace(points[5], trial_id="seeded", seed=1, bpb=points[5].bpb * 0.999)
    law = fit_points([*points, twin, seeded], options=LawOptions(bootstraps=40, params=params))
    chosen = law_points(law, [*points, twin, seeded])
    names = {point.trial_id: point.trial_id for point in chosen}
    text = points_csv(chosen, names, law.params)
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert len(chosen) == 14
    assert all(repr(point.bpb) in text and repr(point.loss) in text for point in chosen)
    (tmp_path / "points.csv").write_text(text)
    command = refit_command(law, chosen)
    assert "seed=trial" in command
    assert same_law(fit(command), law)


def test_samples_are_told_by_the_exported_weights(tmp_path: Path) -> None:
    """The same each time, other weights tell others, and the begin token that the export adds is read once."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = replace(make_trial(16, 1_000, "c").model, vocab_size=257)
    told = []
    for seed in (0, 1):
        model = Transformer(config).eval()
        model.init_weights(seed)
        with torch.no_grad():
            model.token_embedding.weight.mul_(6)
        export = tmp_path / f"export{seed}"
        export.mkdir()
        write_hf_folder(export, config, model.state_dict(), tmp_path / "tokenizer.json", dtype="fp32")
        told.append(tell_samples(export, ["A", "B"]))
        assert tell_samples(export, ["B"]) == told[-1][1:]
        for sample in told[-1]:
            ids = torch.tensor([0, *tokenizer.encode(sample.prompt).ids])
            drawn = list(generate(model, ids, 200, temperature=0.8, top_p=0.95, seed=0, eos=0))
            assert sample.completion == tokenizer.decode(drawn)
            assert (sample.ended, sample.tokens) == (drawn[-1] == 0, len(drawn) - (drawn[-1] == 0))
    assert told[0] != told[1]


def test_files_beside_the_card(made: Made) -> None:
    trial = made.trial(holdout=True)
    facts = made.facts(trial)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (made.export / name).write_bytes(b"x")
    files = repo_files(made.store, made.resolved, facts, card="c", picture=b"p", export=made.export)
    assert files["law.json"] == made.store.law.read_text(), "as it is stored"
    assert from_json(Trial, json.loads(str(files["trial.json"]))) == trial
    assert [from_json(Forecast, each) for each in json.loads(str(files["forecasts.json"]))] == list(facts.forecasts)
    assert files["model.safetensors"] == made.export / "model.safetensors"
    assert "stories.jsonl" not in files


def test_a_study_leaves_its_machine_behind(tmp_path: Path) -> None:
    study = Study(
        name="s", space=({"hidden_size": 16, "num_layers": 1, "tokens": 1000},),
        tokenizer=TokenizerSpec(source="gpt2", vocab_file="/home/me/vocab.json", merges_file="m/merges.txt"),
        tracking=Tracking(uri="postgresql://me:pw@host/db"),
        grading=Grading(prompts="/home/me/prompts.txt", judge=Judge(model="j", base_url="http://u:p@h/v1?key=k")),
    )  # fmt: skip
    public = public_study(study)
    assert (public.tokenizer.vocab_file, public.tokenizer.merges_file) == ("vocab.json", "merges.txt")
    assert (public.tracking.uri, public.grading.prompts, public.grading.judge.base_url) == (
        "",
        "prompts.txt",
        "http://h/v1",
    )
    plain = replace(study, tokenizer=TokenizerSpec(), tracking=Tracking(), grading=Grading())
    assert public_study(plain) == plain
    write_json(tmp_path / "study.json", plain)
    assert load_study(tmp_path / "study.json") == plain, "a study's file of its own"


def test_only_a_folder_in_a_reason_changes_the_law(made: Made) -> None:
    stored = made.store.law.read_text()
    law = read_json(LawFit, made.store.law)
    assert public_law(law, stored) == stored
    known = replace(law, excluded={"a": "failed: [Errno 28] No space: '/home/me/runs/x/model.bin'", "b": "1/2 of N/A"})
    changed = from_json(LawFit, json.loads(public_law(known, "")))
    assert changed == replace(law, excluded={"a": "failed: [Errno 28] No space: 'model.bin'", "b": "1/2 of N/A"})
