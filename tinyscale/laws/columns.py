"""Which column of somebody's table is N, D or the loss: as told, or guessed from its name."""

import re
from collections.abc import Iterable, Mapping, Sequence

NAMES: Mapping[str, tuple[str, ...]] = {
    "N": (
        "n", "params", "parameters", "nparams", "nparameters", "numparams", "numparameters", "modelsize", "modelparams",
        "modelparameters", "totalparams", "totalparameters", "paramstotal", "paramcount", "parametercount",
        "paramsnonembedding", "nonembeddingparams", "nonembeddingparameters",
    ),
    "D": (
        "d", "tokens", "ntokens", "numtokens", "traintokens", "trainingtokens", "totaltokens", "tokensseen",
        "datatokens", "datasetsize",
    ),
    "C": ("c", "flop", "flops", "trainflops", "trainingflop", "trainingflops", "totalflops", "compute"),
    "loss": (
        "loss", "valloss", "validationloss", "evalloss", "testloss", "finalloss", "bpb", "valbpb", "evalbpb",
        "finalbpb", "bitsperbyte",
    ),
    "seed": ("seed", "randomseed"),
}  # fmt: skip
"""Names that are guessed at, as :func:`plain` writes them: ``Model Size`` and ``model_size`` are ``modelsize``."""
MEANINGS: Mapping[str, str] = {
    "N": "parameters",
    "D": "training tokens (or C, training FLOPs: then D = C / (6 N))",
    "loss": "validation loss",
}


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """``N=params,D=tokens,loss=val_loss`` by role; a comma within a column's name is kept.

    :raises ValueError: it is not of that form, or a role is no role or stands twice.
    """
    mapping: dict[str, str] = {}
    for text in texts:
        for part in re.split(r",(?=[^,=]*=)", text):
            role, _, name = (word.strip() for word in part.partition("="))
            if role not in NAMES or not name:
                raise ValueError(
                    f"--columns: {part.strip()!r} maps nothing; write N=NAME,D=NAME,loss=NAME with {', '.join(NAMES)}"
                )
            if role in mapping:
                raise ValueError(f"--columns: {role} is mapped twice, to {mapping[role]!r} and {name!r}")
            mapping[role] = name
    if {"C", "D"} <= set(mapping):
        raise ValueError("--columns: D is either a column or C / (6 N): map D or C, not both")
    return mapping


def find_columns(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """The place of each role's column: N, loss, one of D and C, and seed where there is one.

    :param mapping: the column's name by role; roles left out are guessed, and never as a column mapped to another.
    :raises ValueError: a column is missing, or several could be meant; says what was found and how to map it.
    """
    found = {role: _named(header, role, name) for role, name in mapping.items()}
    for role in NAMES:
        if role in found or (role == "D" and "C" in found) or (role == "C" and "D" in found):
            continue
        places = [i for i, name in enumerate(header) if plain(name) in NAMES[role] and i not in found.values()]
        if len(places) > 1:
            names = " and ".join(repr(header[i]) for i in places)
            raise ValueError(f"{names} could each be {role}: say which with --columns {role}=NAME")
        if places:
            found[role] = places[0]
    for role, meaning in MEANINGS.items():
        if role not in found and not (role == "D" and "C" in found):
            raise ValueError(
                f"no column for {role}, {meaning}; the first line names the columns {_listed(header)}: "
                f"say which with --columns {role}=NAME"
            )
    return found


def _named(header: Sequence[str], role: str, name: str) -> int:
    """The column of that name, in that case or, if there is none, in any."""
    for places in ([i for i, n in enumerate(header) if n == name], [i for i, n in enumerate(header) if _same(n, name)]):
        if len(places) == 1:
            return places[0]
        if places:
            raise ValueError(f"{role} is mapped to {name!r}, but {len(places)} columns are named so: rename one")
    raise ValueError(f"{role} is mapped to {name!r}, but the columns are {_listed(header)}")


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def plain(name: str) -> str:
    """A column's name without case, spaces and marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _listed(header: Sequence[str]) -> str:
    return ", ".join(map(repr, header))
