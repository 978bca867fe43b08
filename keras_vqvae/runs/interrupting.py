"""Ctrl-C that waits for the step that runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def first_interrupt(notice: Callable[[], None]) -> Iterator[None]:
    """Within the block the first Ctrl-C calls `notice`, and the second is an ordinary one.

    A block that ends all the same, because it was about to, is followed by the `KeyboardInterrupt`:
    what comes next in the program should not begin.

    Signals reach the main thread only; in another one, nothing changes. Nor does it in a process
    that ignores Ctrl-C, as those that a shell puts into the background do.
    """
    before = signal.getsignal(signal.SIGINT)
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or before in (None, signal.SIG_IGN):
        yield
        return

    came = False

    def first(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)
        notice()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
