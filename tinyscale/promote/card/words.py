"""Numbers, intervals and times as a card says them."""

import math

from tinyscale.spec import Interval


def span(known: Interval, digits: int = 4) -> str:
    """A value with the ends of its interval: ``0.4812 (0.4790 to 0.4834)``."""
    return f"{known.value:.{digits}f} ({ends(known, digits)})"


def ends(known: Interval, digits: int = 4) -> str:
    """The ends of an interval: ``0.4790 to 0.4834``."""
    return f"{known.low:.{digits}f} to {known.high:.{digits}f}"


def percent(fraction: float) -> str:
    """A fraction: ``0.73 %``, ``18 %``."""
    return f"{100 * fraction:.{2 if abs(fraction) < 0.1 else 0}f} %"


def duration(seconds: float) -> str:
    """Seconds in words, with the hours: ``139 s (0.039 h)``, ``5.2 h``."""
    return f"{seconds / 3600:,.1f} h" if seconds >= 36_000 else f"{seconds:,.0f} s ({seconds / 3600:.2g} h)"


def file_name(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2]


def of_logs(difference: float) -> str:
    """A difference of log losses in percent."""
    return percent(math.expm1(difference))
