"""`eegfm.load`, which imports Hydra and Lightning for a run folder but not for an exported folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.export.described import CONFIG
from eegfm.export.model import Portable, read
from eegfm.nn.adapters import PEFT_CONFIG


def load(
    place: str | Path,
    *,
    revision: str | None = None,
    tokens: bool = False,
    weights: str | Path | None = None,
    trust: Sequence[str] = (),
) -> Portable:
    """Load a trained model: see `eegfm.export.from_run.load` for the arguments and errors.

    `weights` are those of the backbone (a run, an exported folder, a file), if `place` holds adapters alone.
    """
    folder = Path(place)
    if (folder / PEFT_CONFIG).is_file():
        from eegfm.export.adapter import read as read_adapter  # imports Hydra, Lightning and peft

        return read_adapter(folder, weights, trust)
    if weights is not None:
        raise EegfmError(
            f"weights={weights} is for a folder of adapters alone. Leave it out: {place} has weights."
        )
    if revision is None and (folder / CONFIG).is_file() and not (folder / "config.yaml").is_file():
        return read(folder, partial(Portable, trust=trust))
    from eegfm.export.from_run import (
        load as load_run,
    )  # imports Hydra, Lightning and MNE, which takes seconds

    return load_run(place, revision=revision, tokens=tokens, trust=trust)
