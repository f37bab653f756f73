"""What a data set says of its files beside what they say themselves: how they are read, units, other names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eegfm.signal.formats.opened import Opened


def by_its_format(path: Path) -> "Opened":
    """The file by the reader of its format (`formats.any_file.open_any`)."""
    from eegfm.signal.formats.any_file import (
        open_any,  # imports MNE, which a list of benchmarks does not wait for
    )

    return open_any(path)


def nobody(path: Path) -> str:
    """No path says whose a recording is."""
    return ""


@dataclass(frozen=True, eq=False)
class Declared:
    """A data set's word on its files; a trained model takes it along, for files that are like those of its training.

    Attributes:
        units: what one number of a channel is, where the file does not say it or is wrong (see `Opened.in_units`).
        aliases: our name of a channel by the file's.
        open: reads a file.
        person: whose a recording is, by its path; "" where the path does not say it.
    """

    units: Mapping[str, str | float] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    open: "Callable[[Path], Opened]" = by_its_format
    person: Callable[[Path], str] = nobody

    def opened(self, path: Path) -> "Opened":
        """The file, with what is declared of it. Raises EegfmError as `open` does, and as `Opened.in_units`."""
        return self.of(self.open(path))

    def of(self, file: "Opened") -> "Opened":
        """An open file, with what is declared of its units and names. Raises EegfmError as `Opened.in_units`."""
        file = file.in_units(self.units) if self.units else file
        return replace(file, aliases=self.aliases) if self.aliases else file
