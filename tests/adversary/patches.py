"""Something else in the place of a name, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def patched(where: object, **instead: object) -> Iterator[None]:
    """Put something else in the place of names for a while."""
    before = {name: vars(where)[name] for name in instead}
    try:
        for name, value in instead.items():
            setattr(where, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(where, name, value)
