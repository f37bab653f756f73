"""ARFF, the tables of Weka and of UCI's archive -> columns of numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy  # its parts load only when a file is read, which most commands never do
from jaxtyping import Float

from eegfm.contracts import FETCH_AGAIN, EegfmError


def read_arff(path: Path, columns: Sequence[str]) -> Float[np.ndarray, "column row"]:
    """The named columns of a table, in the order asked for. A nominal column, {0,1}, must hold numbers too.

    Raises EegfmError, always with the file's name, if the file cannot be read or lacks a column.
    """
    try:
        table, facts = scipy.io.arff.loadarff(path)
        missing = [name for name in columns if name not in facts.names()]
        if not missing:
            # nominal values come as bytes
            return np.stack([np.asarray(table[name]).astype(np.float64) for name in columns])
    except OSError:  # an error of the system is no damage
        raise
    except Exception as error:  # SciPy raises anything on a damaged file: StopIteration, IndexError, ...
        raise EegfmError(
            f"{path} cannot be read as an ARFF file ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error
    raise EegfmError(
        f"{path} lacks {len(missing)} of {len(columns)} columns: {', '.join(missing)}. It has "
        f"{', '.join(facts.names())}. {FETCH_AGAIN}"
    )
