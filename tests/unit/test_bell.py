import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pci_agent.bell import Bell


@pytest.fixture
def heeded() -> Iterator[list[int]]:
    """The signals that a handler of ours was called for."""
    called: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: called.append(number))
    fd = signal.set_wakeup_fd(-1)
    yield called
    signal.set_wakeup_fd(fd)
    signal.signal(signal.SIGUSR1, before)


def test_any_number_of_rings_wake_the_next_wait_once() -> None:
    bell = Bell()
    for _ in range(100_000):
        bell.ring()
    assert bell.wait(None)
    assert not bell.wait(0)


def test_a_signal_that_reaches_another_thread_wakes_who_waits(heeded: list[int]) -> None:
    bell = Bell()
    bell.ring_on_signals()
    to_itself = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    to_itself.start()
    since = time.monotonic()
    assert bell.wait(20)
    assert time.monotonic() - since < 10
    assert heeded == [signal.SIGUSR1]
    to_itself.join()
