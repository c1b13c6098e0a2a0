"""The verbs that say what came out."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tinyscale.cli.common import MODELS, READ, RUNS, AsJson, Count, Storage, StudyRef, app, print_json, say, stored


@app.command(rich_help_panel=READ)
def fit(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Its YAML file, or its name.", show_default=False)] = "",
    storage: Storage = RUNS,
    as_json: AsJson = False,
    points: Annotated[Path | None, typer.Option(metavar="CSV", help="Fit this table of runs; no study needed.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="N=A,D=B,loss=C", help="Its columns; C=FLOPS may stand for D. Else guessed by name."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="3,7,10-12", help="Rows to leave out; 1 is the first below the header.")
    ] = None,
    drop_highest: Annotated[int, typer.Option(metavar="K", help="Leave out the K highest losses.", min=0)] = 0,
    save: Annotated[Path | None, typer.Option(metavar="JSON", dir_okay=False, help="File for the law.")] = None,
) -> None:
    """Fit the law again from the stored results, or fit that of any table of runs."""
    from tinyscale.laws.study import StudyLaw, fit_study
    from tinyscale.report.law import print_law
    from tinyscale.results.storage import publish

    if bool(study) == bool(points):
        raise ValueError("fit takes a study, or a table of runs with --points CSV: one of the two")
    if points:
        from tinyscale.laws.columns import parse_columns
        from tinyscale.laws.csv_table import fit_table, parse_rows, read_table
        from tinyscale.report.terminal import table_lines
        from tinyscale.spec import write_json

        rows = parse_rows(exclude or ())
        table = read_table(points, parse_columns(columns or ()), exclude=rows, drop_highest=drop_highest)
        law = fit_table(table)
        if save:
            write_json(save, law)
        if as_json:
            print_json(StudyLaw(law=law))
        else:
            say("\n".join(table_lines(table, law)))
        return
    if columns or exclude or drop_highest or save:
        raise ValueError("--columns, --exclude, --drop-highest and --save go with --points CSV; a study has its own")
    store, _ = stored(study, storage)
    fitted = fit_study(store)
    publish(store)
    if as_json:
        print_json(fitted)
    else:
        print_law(store, fitted)


@app.command(rich_help_panel=READ)
def forecast(
    study: StudyRef,
    flops: Count = None,
    params: Count = None,
    tokens: Count = None,
    vocab: Annotated[int | None, typer.Option(metavar="V", help="Vocabulary; asks the law of the vocabulary.")] = None,
    storage: Storage = RUNS,
    as_json: AsJson = False,
) -> None:
    """What the stored law says of a run: of --params and --tokens, or of the best that --flops (6 N D) buy."""
    from tinyscale.laws.outlook import Outlook, look_ahead
    from tinyscale.laws.vocabulary_outlook import VocabularyOutlook, look_at_vocabulary
    from tinyscale.report.outlook import forecast_lines
    from tinyscale.results.points import read_results
    from tinyscale.spec import Analysis, LawFit, read_json

    store, _ = stored(study, storage)
    if not store.law.exists():
        raise ValueError(f"{study}: no law yet; fit it (`tinyscale fit {study}`), which says what lacks")
    law = read_json(LawFit, store.law)
    analysis = read_json(Analysis, store.analysis) if store.analysis.exists() else Analysis()
    results = read_results(store).values()
    outlook: Outlook | VocabularyOutlook
    if vocab is None:
        outlook = look_ahead(law, results, flops=flops, params=params, tokens=tokens, vocabulary=analysis.vocabulary)
    else:
        outlook = look_at_vocabulary(
            analysis, results, kind=law.params, vocab_size=vocab, flops=flops, params=params, tokens=tokens
        )
    if as_json:
        print_json(outlook)
    else:
        say("\n".join(forecast_lines(outlook, law, analysis.vocabulary)))


@app.command(rich_help_panel=READ)
def report(study: StudyRef, storage: Storage = RUNS) -> None:
    """Write the report again from the stored results."""
    from tinyscale.laws.study import fit_study
    from tinyscale.report.study import report_study
    from tinyscale.results.storage import publish

    store, _ = stored(study, storage)
    say(str(report_study(store, fit_study(store), [shlex.join(["tinyscale", "launch", study])])))
    publish(store)


@app.command(rich_help_panel=MODELS)
def generate(
    model: Annotated[
        str, typer.Argument(help="Folder of a trial or of its model, or its s3:// URI.", show_default=False)
    ],
    prompt: Annotated[str | None, typer.Option(help="How the story begins; without it, asks again and again.")] = None,
    tokens: Annotated[int, typer.Option(help="Largest number of tokens.", min=1)] = 200,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0.0)] = 0.8,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest of this mass.", min=0.01, max=1.0)] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Tell a story with a finished trial's model."""
    from tinyscale.data.cache import default_cache
    from tinyscale.report.stories import Storyteller
    from tinyscale.results.objects import is_uri
    from tinyscale.results.storage import fetch_model

    teller = Storyteller(fetch_model(model, default_cache()) if is_uri(model) else Path(model))
    for beginning in [prompt] if prompt is not None else _ask():
        print(beginning, end="", flush=True)
        for piece in teller.tell(beginning, max_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed):
            print(piece, end="", flush=True)
        print()


def _ask() -> Iterator[str]:
    """Beginnings typed by the user, until an empty line or the end of input."""
    while True:
        try:
            beginning = input("story> ")
        except EOFError:
            return
        if not beginning.strip():
            return
        yield beginning
