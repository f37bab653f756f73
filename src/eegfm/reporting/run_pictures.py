"""The pictures of a run, for pages that other people see: what lies in the run's own folder and is a picture."""

from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"


def pictures(folder: Path) -> list[Path]:
    """The PNG files in `figures/`, sorted. What is called one and is something else, or elsewhere, is none."""
    found = sorted((folder / "figures").glob("*.png"))
    return [path for path in found if lies_in(path, folder) and _begins(path, PNG)]


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a file is one of the folder's own, and no symbolic link leads elsewhere."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _begins(path: Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False
