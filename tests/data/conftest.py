"""The fixture of the tests of a mix."""

from tests.data.small_mix import places  # noqa: F401
