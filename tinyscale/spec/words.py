"""Numbers and times as everything here shows them."""

from datetime import UTC, datetime


def number(value: float) -> str:
    """Four significant digits, without needless exponents: 0.3473, 477.8, 12,846, 1.23e+07."""
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}"


def utc(seconds: float) -> str:
    """A Unix time as ``2025-03-14 09:26 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def size(number: float) -> str:
    """Bytes: ``812 kB``, ``3.4 MB``."""
    for unit, letter in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number:.0f} B"
