"""Seconds of training steps, without evaluations, checkpoints and whoever reads the records."""

import statistics
import time


class StepClock:
    """Runs while steps are taken. On CUDA, pause it only after the device has been waited for."""

    def __init__(self, train_s: float = 0.0) -> None:
        self._before_s = train_s
        self._started: float | None = None
        self._window_s = 0.0
        self._window_tokens = 0
        self._speeds: list[float] = []

    @property
    def train_s(self) -> float:
        """Seconds of all lives of the trial up to the last pause."""
        return self._before_s + self._window_s

    def count(self, tokens: int) -> None:
        """Note a step that begins now."""
        if self._started is None:
            self._started = time.perf_counter()
        self._window_tokens += tokens

    def pause(self) -> None:
        """Stop until the next step."""
        if self._started is not None:
            self._window_s += time.perf_counter() - self._started
            self._started = None

    def take_speed(self) -> float:
        """Tokens per second since the last call; the clock must be paused."""
        speed = self._window_tokens / self._window_s
        self._speeds.append(speed)
        self._before_s += self._window_s
        self._window_s, self._window_tokens = 0.0, 0
        return speed

    @property
    def median_speed(self) -> float:
        """Median of :meth:`take_speed` in this life (tokens/s); 0 before the first."""
        return statistics.median(self._speeds) if self._speeds else 0.0
