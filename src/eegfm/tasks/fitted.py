"""Tasks that are fitted in one go, and the file that keeps what a fit has found; skops runs no code from the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np
from torch import nn

from eegfm.contracts import EegfmError
from eegfm.nn.scaling import UNIT
from eegfm.support.checksums import refuse_changed, write_with_sum
from eegfm.support.trust import trusted
from eegfm.tasks.bounded import refuse_swollen
from eegfm.tasks.metrics import Predictions

FILE = "checkpoints/fitted.skops"
# classes beside scikit-learn's own that a file may hold
TRUSTED = [
    "pyriemann.spatialfilters.CSP",
    "pyriemann.tangentspace.TangentSpace",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",  # of nearest neighbours over few features
    "sklearn.neighbors._kd_tree.KDTree",
]


@runtime_checkable
class Fits(Protocol):
    """A classifier that is fitted in one go. `found` names the attributes that a fit sets."""

    found: ClassVar[tuple[str, ...]]


@runtime_checkable
class FitsInOneGo(Protocol):
    """A task that fits `fitted` in one go: its backbone, or a head on the backbone's features.

    Every other task is a `tasks.base.Task` and learns by gradient steps.
    """

    backbone: Any

    @property
    def fitted(self) -> Fits: ...

    def fit(self, data: Any) -> None:
        """Fit on a data module that is set up for "fit"."""
        ...

    def predict(self, data: Any, split: str) -> Predictions:
        """Predictions of a split in stored order."""
        ...


def write_fitted(task: FitsInOneGo, folder: Path) -> None:
    """Write what the fit has found, with its sum."""
    from skops.io import dumps  # it imports all of scikit-learn

    found = {name: getattr(task.fitted, name) for name in task.fitted.found}
    held = {"found": found, "backbone": _norms(task.backbone)}
    if hasattr(task.backbone, UNIT):
        held[UNIT] = float(getattr(task.backbone, UNIT))
    write_with_sum(folder / FILE, dumps(held))


def read_fitted(task: FitsInOneGo, folder: Path, trust: Sequence[str] = ()) -> None:
    """Load into a task what `write_fitted` has written; `trust` are modules whose classes the file may hold.

    Raises:
        EegfmError: the file is absent or damaged, belongs to another model or another backbone, or holds a
            class that is not trusted.
    """
    path, model = folder / FILE, task.fitted
    if not path.is_file():
        raise EegfmError(
            f"{folder} has no {FILE}: the run has not ended. The command that began it goes on."
        )
    refuse_changed(path)
    held = read_skops(path, trust, f"Delete {folder} and train it again.")
    if tuple(held["found"]) != model.found:
        names = ", ".join(held["found"])
        raise EegfmError(f"{path} is of another model than {type(model).__name__}: it holds {names}.")
    now = _norms(task.backbone)
    if now.keys() != held["backbone"].keys() or not np.allclose(
        [*now.values()], [*held["backbone"].values()], rtol=1e-4
    ):
        raise EegfmError(
            f"{path} was fitted over other weights of {type(task.backbone).__name__} than those at hand: the file that "
            f"the run started from has changed. Delete {folder} and train it again."
        )
    if UNIT in held:  # a random backbone's was fitted with the head
        getattr(task.backbone, UNIT).fill_(held[UNIT])
    for name, value in held["found"].items():
        setattr(model, name, value)


def read_skops(path: Path, trust: Sequence[str], remedy: str) -> Any:
    """What a file of skops holds: classes of scikit-learn, of pyriemann, and of modules that the person trusts.

    Raises:
        EegfmError: it is damaged (then `remedy` is the advice), or holds something else; nothing of that is imported.
    """
    from skops.io import get_untrusted_types, load
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        refuse_swollen(path)
        known = [*TRUSTED, *(one for one in get_untrusted_types(file=path) if trusted(one, trust))]
        return load(path, trusted=known)
    except UntrustedTypesFoundException as error:
        others = sorted(
            {one.rpartition(".")[0] for one in get_untrusted_types(file=path) if one not in known}
        )
        raise EegfmError(
            f"{path} was not written by eegfm, or holds code of somebody's own, and is not loaded: {error}. If you "
            f"trust who wrote {' and '.join(others)}, type trust=[{','.join(others)}]"
        ) from None
    except (BadZipFile, KeyError, ValueError, ImportError) as error:
        if isinstance(error, EegfmError):
            raise
        raise EegfmError(f"{path} cannot be read ({error!r}). {remedy}") from None


def _norms(backbone: Any) -> dict[str, float]:
    """Numbers that identify a frozen network's weights, up to another processor's rounding."""
    if not isinstance(backbone, nn.Module):
        return {}
    return {
        name: float(value.double().norm()) for name, value in backbone.state_dict().items() if name != UNIT
    }
