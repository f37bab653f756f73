"""The pictures of a run, for pages that other people see: what lies in the run's own folder and is a picture."""

import json
from pathlib import Path

from eegfm.runs.results import RunResult, refuse_changed_file

PNG = b"\x89PNG\r\n\x1a\n"
FOLDER = "evaluations"  # runs.evaluations.FOLDER; that module loads torch
LARGEST = 2**24  # bytes of an evaluation's numbers


def pictures(folder: Path, result: RunResult | None) -> tuple[dict[Path, str], list[str]]:
    """The PNG files in `figures/` and in those of `evaluations/`, sorted, each with what is to be said of it.

    Of a picture of an evaluation that is the name of its folder, which says split and weights, and its reservations.
    What is called a picture and is something else, or elsewhere, is none. The second is a sentence for each that is not
    as the run drew it.
    """
    found, damages = {}, []
    for path in sorted((folder / "figures").glob("*.png")):
        if not (lies_in(path, folder) and _begins(path, PNG)):
            continue
        try:
            if result:
                refuse_changed_file(result, folder, path.relative_to(folder).as_posix())
            found[path] = ""
        except (OSError, ValueError) as error:
            damages.append(str(error))
    for path in sorted((folder / FOLDER).glob("*/figures/*.png")):
        if lies_in(path, folder) and _begins(path, PNG):
            found[path] = "; ".join([path.parents[1].name, *_reservations(path.parents[1], folder)])
    return found, damages


def _reservations(evaluation: Path, folder: Path) -> list[str]:
    """The reservations about the numbers of an evaluation, as its files of numbers say them."""
    found: dict[str, None] = {}
    for file in sorted(evaluation.glob("*.json")):
        try:
            if lies_in(file, folder) and file.stat().st_size <= LARGEST:
                found |= dict.fromkeys(map(str, json.loads(file.read_text(encoding="utf-8"))["warnings"]))
        except (OSError, ValueError, RecursionError):
            found[f"{file.name} cannot be read"] = None
        except (KeyError, TypeError):
            continue  # it is not of numbers
    return [*found]


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a file is one of the folder's own, and no symbolic link leads elsewhere."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _begins(path: Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False
