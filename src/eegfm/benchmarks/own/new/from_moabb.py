"""A data set of MOABB (Mother of all BCI Benchmarks, Aristimunha et al., doi:10.5281/zenodo.10034223) as a folder.

The package moabb, which a person installs, fetches it and writes it as BIDS, with samples of 32 bits. From there it is
a folder as any other. What MOABB knows of it beside the files, which events are classes and which seconds after them
are meant, decides the keys that a folder leaves open.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from eegfm.benchmarks.own.new.words import as_yaml
from eegfm.contracts import EegfmError
from eegfm.support.words import unknown

SOURCE = "moabb:"
INSTALL = "pip install 'eegfm[moabb]'"
FORMAT = "BrainVision"  # an EDF has steps of 16 bits


def from_moabb(name: str, into: Path) -> tuple[Path, dict[str, tuple[str, str]]]:
    """The folder of a data set by the name of its class, below `into`, and what is decided (see `Found.decided`).

    What is there already is not fetched again.

    Raises EegfmError if moabb is not installed, has no such data set, or cannot fetch or write it.
    """
    try:
        known, base = import_module("moabb.datasets"), import_module("moabb.datasets.base").BaseDataset
    except ImportError as error:
        raise EegfmError(f"{SOURCE}{name} needs moabb ({error}). Type: {INSTALL}") from None
    kinds = {one: getattr(known, one) for one in dir(known)}
    names = [one for one, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, base)]
    if name not in names:
        raise EegfmError(unknown(f"{SOURCE}{name}", f"moabb has no {name}", name, names))
    try:
        dataset = kinds[name]()
        folder = Path(dataset.convert_to_bids(path=into, format=FORMAT, verbose="error"))
    except Exception as error:  # a network, a disk, or a data set that moabb cannot read
        raise EegfmError(
            f"{SOURCE}{name}: moabb could not fetch it ({type(error).__name__}: {error}). What it has fetched stays."
        ) from error
    return folder, _decided(dataset)


def _decided(dataset: Any) -> dict[str, tuple[str, str]]:
    first, last = map(float, dataset.interval)
    classes = ", ".join(f"{as_yaml(str(one))}: {as_yaml(str(one))}" for one in dataset.event_id)
    return {
        "labels": ("{from: events}", "as MOABB has it"),
        "classes": (f"{{{classes}}}", "as MOABB has it"),
        "windows": (f"{{cut: events, from_s: {first:g}, to_s: {last:g}}}", "as MOABB has it"),
    }
