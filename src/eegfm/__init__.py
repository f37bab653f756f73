"""eegfm: pre-train, adapt and honestly compare EEG foundation models.

import eegfm
model = eegfm.load("runs/<run>")  # or what eegfm export has written, or "hub:<user>/<name>"
"""

from typing import TYPE_CHECKING

from eegfm.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eegfm.export.model import Portable

__all__ = ["__version__", "load"]


def load(
    place: "str | Path", *, revision: str | None = None, tokens: bool = False, trust: "Sequence[str]" = ()
) -> "Portable":
    """A trained model as a torch module, from a run folder, an exported folder or "hub:<user>/<name>".

    See `eegfm.export.from_run.load` for the arguments and `eegfm.export.model.Portable` for what comes back.
    """
    from eegfm.export.load import load

    return load(place, revision=revision, tokens=tokens, trust=trust)
