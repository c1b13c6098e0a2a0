"""Under which licence a model is published, and what is known of that of its text."""

from collections.abc import Mapping
from dataclasses import dataclass

from tinyscale.spec import Corpus

HUB_LICENCES = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "etalab-2.0", "eupl-1.1", "agpl-3.0",
    "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0",
    "odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr",
    "unknown", "other",
})  # fmt: skip
"""Identifiers that the hub takes (its page "Licenses"), those of single companies' models left out."""
TINYSTORIES = "roneneldan/TinyStories"
"""The data set of Eldan & Li 2023 on the hub."""
DATA_LICENCES: Mapping[str, str] = {TINYSTORIES: "cdla-sharing-1.0"}
"""Of the data sets of the hub that are known here, as their own cards have it."""


@dataclass(frozen=True, kw_only=True)
class Licences:
    """Of a model, and of the text that it was trained on."""

    model: str
    """Identifier of the hub's list."""
    data: str
    """Likewise; empty: not known here."""
    stated: bool
    """Whoever publishes the model named its licence; False: it is the text's."""


def find_licences(corpus: Corpus, stated: str = "") -> Licences:
    """The model's licence: the one stated, else that of its text, which it may have learned stretches of by heart.

    Call it before anything expensive.

    :param stated: what whoever publishes the model says; empty: nothing.
    :raises ValueError: the hub knows no such licence, or none is stated and that of the text is not known here.
    """
    data = data_licence(corpus)
    if stated and stated not in HUB_LICENCES:
        raise ValueError(
            f"--license: the hub knows no licence {stated!r}; it takes such as apache-2.0, mit, cc-by-4.0, "
            "cdla-sharing-1.0 or other (https://huggingface.co/docs/hub/repositories-licenses)"
        )
    if not stated and not data:
        text = f"the data set {corpus.repo}" if corpus.source == "hub" else "the study's own text files"
        raise ValueError(
            f"the licence of {text} is not known here, so the model's must be stated: --license LICENSE, such as "
            "cc-by-4.0 (what the text's own licence allows is yours to know)"
        )
    return Licences(model=stated or data, data=data, stated=bool(stated))


def data_licence(corpus: Corpus) -> str:
    """Licence of a corpus; empty: not known here. The built-in stories come from this package's own grammar."""
    if corpus.source == "builtin":
        return "apache-2.0"
    return DATA_LICENCES.get(corpus.repo, "") if corpus.source == "hub" else ""
