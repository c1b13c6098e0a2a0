"""The verb that hands a model to other software."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyscale.cli.common import MODELS, app, say


class Format(StrEnum):
    """As :data:`tinyscale.spec.ExportFormat`, for the command line's help."""

    HF = "hf"
    LLAMA2C = "llama2c"


class Dtype(StrEnum):
    """As :data:`tinyscale.spec.Dtype`, for the command line's help."""

    FP32 = "fp32"
    BF16 = "bf16"


@app.command(rich_help_panel=MODELS)
def export(
    trial: Annotated[
        str, typer.Argument(help="Folder of a trial or of its model, or its s3:// URI.", show_default=False)
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder, or that of an earlier export.")],
    format_: Annotated[Format, typer.Option("--format", help="For transformers, or karpathy's llama2.c.")] = Format.HF,
    dtype: Annotated[Dtype, typer.Option(help="Of the weights; llama2c has fp32 alone.")] = Dtype.FP32,
    version: Annotated[int, typer.Option(help="Of llama2c's checkpoint.", min=0, max=1)] = 0,
) -> None:
    """Write a trial's model in a format of others, load it again and prove that it computes the same."""
    from tinyscale.data.cache import default_cache
    from tinyscale.promote.exports.proof_stories import proof_stories
    from tinyscale.promote.exports.prove import prove_export
    from tinyscale.promote.exports.write import export_model
    from tinyscale.results.objects import is_uri
    from tinyscale.results.storage import fetch_model
    from tinyscale.results.store import find_model

    cache = default_cache()
    model_folder = find_model(fetch_model(trial, cache) if is_uri(trial) else Path(trial), given=trial)
    export_model(model_folder, to, format=format_.value, dtype=dtype.value, version=version)
    stories, named = proof_stories(model_folder, cache)
    proof = prove_export(model_folder, to, stories, dtype=dtype.value)
    say(f"{to}: {format_}, {dtype}; loaded again by {proof.loader}")
    say(f"  equal: {proof.greedy_tokens} greedy tokens, token ids; logits within {proof.logit_difference:.1e}")
    say(f"  {proof.bpb:.4f} bits per byte, {proof.our_bpb:.4f} by tinyscale, on {named}")
    if format_ is Format.HF:
        call = f'pipeline("text-generation", "{to}")("Once upon a time")[0]["generated_text"]'
        say(f"use it: from transformers import pipeline; print({call})")
    elif version == 0:
        files = " -z ".join(shlex.quote(str(to / name)) for name in ("model.bin", "tokenizer.bin"))
        say(f"use it with llama2.c: ./run {files} -t 0.8 -p 0.95")
        say("  (it puts a space before a prompt, -i, which training had not)")
    else:
        say("use it with a reader of version 1; llama2.c's own run.c reads version 0")
