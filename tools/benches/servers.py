"""The servers that a bench measures with: real ones on loopback, and what they cost."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from services import PostgreSQL, RabbitMQ


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run a database server that keeps what it commits, with its own settings otherwise."""
    server = PostgreSQL(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """Run a broker that has no queues yet."""
    broker = RabbitMQ()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def cpu_s(pid: int) -> float:
    """Tell the processor seconds of a process and of its children, of those too that have ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    running = [child.cpu_times() for child in process.children(recursive=True)]
    ended = own.children_user + own.children_system
    return float(own.user + own.system + ended + sum(each.user + each.system for each in running))
