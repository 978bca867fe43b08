"""Batches that threads make ahead, for one who reads them in order."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Prefetching(Generic[Batch]):
    """Gives batches of an epoch, while threads make those that come next.

    Args:
        threads: how many.
        ahead: how many batches to have ready, at most.
    """

    def __init__(self, threads: int, ahead: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "ImageBatches")
        self._ahead = ahead
        self._pending: dict[tuple[int, int], Future[Batch]] = {}
        self._last_asked = (-1, -1)
        self._lock = threading.Lock()

    def get(self, make: Callable[[int, int], Batch], epoch: int, step: int, steps: range) -> Batch:
        """The batch of a step.

        Args:
            make: gives the batch of an epoch and a step; it is called in any thread.
            epoch: which epoch.
            step: which step of it.
            steps: those that will be asked for in this epoch, if it is read in order.
        """
        with self._lock:
            future = self._pending.pop((epoch, step), None)
            if future is None:
                future = self._pool.submit(make, epoch, step)
            # Only for one who reads in order; in any other order this would be work for nothing.
            if step == steps.start or self._last_asked == (epoch, step - 1):
                for later in range(step + 1, min(step + 1 + self._ahead, steps.stop)):
                    if (epoch, later) not in self._pending:
                        self._pending[epoch, later] = self._pool.submit(make, epoch, later)
            else:
                self._pending.clear()
            self._last_asked = (epoch, step)
        return future.result()

    def forget(self) -> None:
        """Gives up what is made ahead: another epoch, or another place in it, comes next."""
        with self._lock:
            for future in self._pending.values():
                future.cancel()
            self._pending.clear()
