"""Pending frees are sent in rounds, batch after batch, whatever goes wrong in one."""

import threading

from pci_agent.tracker.settler import Settler


def test_a_round_goes_on_until_fewer_are_due_than_a_batch_holds() -> None:
    due = [120]
    batches = []

    def settle(limit: int) -> int:
        taken = min(limit, due[0])
        due[0] -= taken
        batches.append(taken)
        return taken

    Settler(settle, interval_s=1).round()
    assert batches == [50, 50, 20]


def test_a_round_that_fails_is_followed_by_the_next_one_until_it_is_stopped() -> None:
    rounds: list[int] = []
    enough = threading.Event()

    def settle(limit: int) -> int:
        rounds.append(limit)
        if len(rounds) > 2:
            enough.set()
            return 0
        raise RuntimeError("the database is away")

    settler = Settler(settle, interval_s=0.01)
    settler.start()
    assert enough.wait(20)
    settler.stop()
    after = len(rounds)
    assert not threading.Event().wait(0.1)
    assert len(rounds) == after
