"""Patterns of paths: `{subject}/*_raw.fif`. What stands in braces is a part of the path that is wanted."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.support.words import some, unknown

FIELDS = ("subject", "session", "split", "label", "recording")
TOKENS = re.compile(r"\{[^{}]*\}|\*\*/|\*\*|\*|\?|[^{*?]+|\{")


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths below a folder, with `/` between their parts.

    `*` and `?` stand for any characters but a slash, `**` for any number of folders, `{subject}` (see `FIELDS`) for
    a part that is wanted; the same one twice must be the same. Everything else, square brackets too, is itself.
    """

    text: str

    def __post_init__(self) -> None:
        for name in re.findall(r"\{([^{}]*)\}", self.text):
            if name not in FIELDS:
                raise EegfmError(unknown(f"{{{name}}} in {self.text}", f"there is no {name}", name, FIELDS))

    @cached_property
    def fields(self) -> frozenset[str]:
        return frozenset(re.findall(r"\{([^{}]*)\}", self.text))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        seen: set[str] = set()
        parts = []
        for token in TOKENS.findall(self.text):
            name = token[1:-1]
            if token in ("**/", "**", "*", "?"):
                parts.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}[token])
            elif token.startswith("{") and name:
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
                seen.add(name)
            else:
                parts.append(re.escape(token))
        return re.compile("".join(parts), re.DOTALL)

    def match(self, path: str) -> dict[str, str] | None:
        """The wanted parts of a path; None if the pattern does not match it."""
        found = self._expression.fullmatch(path)
        return None if found is None else found.groupdict()


def files_below(root: Path) -> list[str]:
    """Every file below a folder as a path relative to it, sorted; also links to nowhere. None whose name, or whose
    folder's name, begins with a dot."""
    found, seen = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):  # folders of subjects are links at times
        place = os.path.realpath(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if place in seen:
            folders[:] = []
            continue
        seen.add(place)
        inner = Path(folder).relative_to(root)
        found += [(inner / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def without_match(what: str, patterns: Sequence[str], root: Path, there: Sequence[str]) -> EegfmError:
    """The error of patterns that match nothing: what they are, and what is there."""
    if not there:
        return EegfmError(f"{what}: there are no files below {root}. Name their folder: data.raw=<folder>")
    kinds = Counter(Path(path).suffix or "no suffix" for path in there)
    counted = [f"{n} {suffix}" for suffix, n in kinds.most_common()]
    return EegfmError(
        f"{what}: {' and '.join(patterns)} matches none of the {len(there):,} files below {root}. There are "
        f"{some(counted, 6)}, such as {some(there, 3)}."
    )
