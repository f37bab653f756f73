"""What is changed of this process for a while, and put back: environment variables, `sys.argv`, loggers' levels.

Libraries read these where they have no argument for the same. The next run of a sweep, or whoever called us as a
library, finds them as they were.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Environment variables with these values. Those of None keep theirs, or have none; what sets them is undone."""
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
    """The command line as if it had been this one."""
    before, sys.argv = sys.argv, [program, *rest]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def level(least: int, *names: str | logging.Logger) -> Iterator[None]:
    """Loggers, or those of these names, say nothing below this level; "" is the root."""
    loggers = [logging.getLogger(one) if isinstance(one, str) else one for one in names]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(least)
    try:
        yield
    finally:
        for one, own in zip(loggers, before, strict=True):
            one.setLevel(own)
