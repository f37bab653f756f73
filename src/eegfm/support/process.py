"""Change this process for a while, then put it back: environment variables, `sys.argv`, loggers' levels.

Some libraries read these instead of an argument. The next run of a sweep, or a program that uses us as a
library, finds them as they were.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Set environment variables; None leaves one as it is. Each has its old value again at the end."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: value for name, value in variables.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def arguments(program: str, *rest: str) -> Iterator[None]:
    """Replace the command line by this one."""
    before, sys.argv = sys.argv, [program, *rest]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def level(least: int, *names: str | logging.Logger) -> Iterator[None]:
    """Silence these loggers, given themselves or by name, below this level; "" is the root."""
    loggers = [logging.getLogger(one) if isinstance(one, str) else one for one in names]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(least)
    try:
        yield
    finally:
        for one, own in zip(loggers, before, strict=True):
            one.setLevel(own)
