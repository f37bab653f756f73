"""`eegfm.load`, which imports Hydra and Lightning for a run folder but not for an exported folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eegfm.export.described import CONFIG
from eegfm.export.model import Portable, read


def load(
    place: str | Path, *, revision: str | None = None, tokens: bool = False, trust: Sequence[str] = ()
) -> Portable:
    """Load a trained model: see `eegfm.export.from_run.load` for the arguments and errors."""
    folder = Path(place)
    if revision is None and (folder / CONFIG).is_file() and not (folder / "config.yaml").is_file():
        return read(folder, partial(Portable, trust=trust))
    from eegfm.export.from_run import (
        load as load_run,
    )  # imports Hydra, Lightning and MNE, which takes seconds

    return load_run(place, revision=revision, tokens=tokens, trust=trust)
