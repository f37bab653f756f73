"""Training, loading and every command work without the packages of an extra."""

from pathlib import Path

import pytest

from tests.command_line import call_afresh


@pytest.mark.slow
def test_what_only_an_extra_needs_is_imported_when_it_is_asked_for():
    done = call_afresh("tests.without_extras", cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
