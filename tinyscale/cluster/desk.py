"""Where the supervisor of several workers lays out their next trial and hears that they are through with the last."""

import asyncio
from collections import Counter

from tinyscale.cluster.task import Task


class Desk:
    """An actor beside the supervisor; every call may wait, and ends with the actor, so nobody waits for the dead.

    Trials are numbered from 0. A rank that asks for a number is through with the one before.
    """

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._changed = asyncio.Condition()
        self._tasks: list[Task | None] = []
        self._asked: Counter[int] = Counter()
        self._recalled = -1

    async def lay(self, task: Task | None) -> None:
        """The next trial; None sends the ranks home."""
        async with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    async def take(self, number: int) -> Task | None:
        """For a rank: the trial of that number, once it is there."""
        async with self._changed:
            self._asked[number] += 1
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self._tasks) > number)
            return self._tasks[number]

    async def recall(self, number: int) -> None:
        """The ranks are to leave that trial where it stands, at a checkpoint."""
        async with self._changed:
            self._recalled = number
            self._changed.notify_all()

    async def recalled(self, number: int) -> None:
        """Returns when that trial is recalled, or over."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._recalled >= number or self._through(number))

    async def through(self, number: int) -> None:
        """Returns when every rank is through with that trial."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._through(number))

    def _through(self, number: int) -> bool:
        return self._asked[number + 1] == self._ranks
