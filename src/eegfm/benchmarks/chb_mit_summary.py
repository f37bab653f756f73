"""The summaries of CHB-MIT, `chb01/chb01-summary.txt`: when seizures begin and end (see `eegfm.benchmarks.chb_mit`)."""

import re
from collections.abc import Sequence
from pathlib import Path

from eegfm.contracts import FETCH_AGAIN, EegfmError

FILE = re.compile(r"File Name:\s*(\S+)")
NUMBER = re.compile(r"Number of Seizures in File:\s*(\d+)")
MOMENT = re.compile(r"Seizure\s*\d*\s*(Start|End)\s*Time:\s*(\d+)\s*s\w*", re.IGNORECASE)


def read_summary(path: Path) -> dict[str, list[tuple[float, float]]]:
    """The seizures of every file that a `chbNN-summary.txt` lists: seconds of start and end, in the summary's order.

    Raises EegfmError, with the name of the summary, where it is none, where a seizure has no start or no end or ends
    before it begins, and where there are more or fewer than it declares.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise EegfmError(f"{path} cannot be read ({error.strerror or error}). {FETCH_AGAIN}") from error
    declared: dict[str, int] = {}
    moments: dict[str, list[tuple[str, float]]] = {}
    name = None
    for number, line in enumerate(map(str.strip, lines), 1):
        if found := FILE.fullmatch(line):
            name = found[1]
            if name in moments:
                raise EegfmError(f"{path} lists {name} twice (line {number}). {FETCH_AGAIN}")
            moments[name] = []
        elif name is not None and (found := NUMBER.fullmatch(line)):
            declared[name] = int(found[1])
        elif name is not None and (found := MOMENT.fullmatch(line)):
            moments[name].append((found[1].casefold(), float(found[2])))
        elif line.casefold().startswith("seizure"):
            raise EegfmError(
                f"{path}, line {number}, is no moment of a seizure: {line[:80]!r}. {FETCH_AGAIN}"
            )
    if not moments:
        raise EegfmError(f'{path} is no summary: it has no line "File Name: ...". {FETCH_AGAIN}')
    return {name: _paired(path, name, moments[name], declared.get(name)) for name in moments}


def _paired(
    path: Path, name: str, moments: Sequence[tuple[str, float]], declared: int | None
) -> list[tuple[float, float]]:
    """Starts and ends by their order, whatever they are numbered."""
    starts, ends = moments[::2], moments[1::2]
    pairs = [(start, end) for (_, start), (_, end) in zip(starts, ends, strict=False)]
    in_turn = all(kind == "start" for kind, _ in starts) and all(kind == "end" for kind, _ in ends)
    if not in_turn or len(starts) != len(ends) or any(end <= start for start, end in pairs):
        said = ", ".join(f"{kind} {second:g} s" for kind, second in moments)
        raise EegfmError(
            f"{path}: the seizures of {name} do not start and end in turn ({said}). {FETCH_AGAIN}"
        )
    if declared != len(pairs):
        raise EegfmError(
            f"{path} declares {'no number of' if declared is None else declared} seizures for {name} and tells of "
            f"{len(pairs)}. {FETCH_AGAIN}"
        )
    return pairs
