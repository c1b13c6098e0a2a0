"""What a machine's facts mean for a launch: one line each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinyscale.cluster.capacity import NodeResources, concurrent_trials
from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.mirrored import check_supported
from tinyscale.cluster.probe import Facts
from tinyscale.cluster.words import first_line
from tinyscale.results.storage import shown
from tinyscale.spec.study import Resources, Share, Tracking
from tinyscale.tracking import mask, resolve_uri
from tinyscale.tracking.reach import check_reach

LEAST_FREE_BYTES = 1e9
SKEW_S = 2.0
"""Clocks further apart are worth a word: the times in journals and MLflow come from the workers."""


@dataclass(frozen=True)
class Finding:
    """One line."""

    level: Literal["ok", "note", "stop"]
    """note: worth knowing; stop: a launch would fail."""
    check: str
    where: str
    """The machine, or what the check is of."""
    words: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.check:<9} {self.where}: {self.words}"


def check_mlflow(tracking: Tracking, storage: Path) -> Finding:
    """MLflow that is away stops nothing: what it misses is sent later."""
    uri = resolve_uri(tracking, storage)
    try:
        check_reach(uri)
    except OSError as error:
        why = mask(first_line(error))
        return Finding("note", "mlflow", mask(uri), f"no answer ({why}); a study goes on without it")
    return Finding("ok", "mlflow", mask(uri), "a file, no server" if uri.startswith("sqlite") else "reached from here")


def check_mirrored(storage: Path, resources: Resources) -> Finding:
    """Whether the trials do without a folder that all machines share."""
    try:
        check_supported(storage, resources)
    except PreflightError as error:
        return Finding("stop", "storage", shown(storage), str(error))
    return Finding("ok", "storage", shown(storage), "an object store: each machine works in its own cache")


def check_capacity(shares: Collection[Share], machines: Sequence[NodeResources]) -> Finding:
    """Whether and how often each trial fits into the machines that are up.

    :param shares: what the trials occupy; several where the planner chose by size.
    """
    try:
        fits = sorted({concurrent_trials(share, machines) for share in shares})
    except PreflightError as error:
        return Finding("stop", "resources", f"{len(machines)} machine(s)", str(error))
    least, most = fits[0], fits[-1]
    words = f"{least} trial(s)" if least == most else f"{least} of the largest trials to {most} of the smallest"
    return Finding("ok", "resources", f"{len(machines)} machine(s)", f"{words} at once")


def check_versions(name: str, seen: Facts, mine: Mapping[str, str]) -> Finding:
    """Against the driver's."""
    other = [f"{what} {seen.versions[what]} (here {mine[what]})" for what in mine if seen.versions[what] != mine[what]]
    if other:
        words = f"{', '.join(other)}: install the same there"
        if seen.versions["tinyscale"] != mine["tinyscale"]:
            # Ray puts the folder of the launch on the workers' path, before what we send.
            words += "; or launch from another folder, for one of this path holds other code there"
        return Finding("stop", "versions", name, words)
    return Finding("ok", "versions", name, ", ".join(f"{what} {found}" for what, found in seen.versions.items()))


def check_cards(name: str, seen: Facts, resources: Resources, offered: float) -> Finding:
    """What torch makes of the GPUs.

    :param offered: as many Ray hands out there.
    """
    if not seen.cards:
        if offered:
            level: Literal["note", "stop"] = "stop" if resources.on_gpu else "note"
            return Finding(level, "gpu", name, f"Ray offers {offered:g} and torch sees none: a CPU build, or no driver")
        return Finding("ok", "gpu", name, "none" + (": trials run on other machines" if resources.on_gpu else ""))
    kinds = {
        f"{card.name}, compute capability {card.capability}, {'' if card.kernels == 'sm_120' else 'not '}SM120, "
        + (f"our kernels with the {card.kernels} rows" if card.kernels else "too old for our kernels: PyTorch")
        for card in seen.cards
    }
    return Finding("ok", "gpu", name, f"{len(seen.cards)}: " + "; ".join(sorted(kinds)))


def check_room(name: str, folder: Path, free_bytes: float, need_bytes: float = LEAST_FREE_BYTES) -> Finding:
    """Free space on a folder's disk."""
    words = f"{folder}: {free_bytes / 1e9:.1f} GB free, {need_bytes / 1e9:.1f} GB needed"
    return Finding("ok" if free_bytes >= need_bytes else "stop", "disk", name, words)


def check_clock(name: str, skew_s: float, doubt_s: float) -> Finding:
    """A machine's clock less the driver's, known to ``doubt_s``."""
    words = f"{skew_s:+.3f} s against the driver's, to {doubt_s:.3f} s"
    if abs(skew_s) > SKEW_S + doubt_s:
        return Finding("note", "clock", name, f"{words}: times in journals will be off; run NTP there")
    return Finding("ok", "clock", name, words)
