"""eegfm: pre-train, adapt and honestly compare EEG foundation models.

import eegfm
model = eegfm.load("runs/<run>")  # or what eegfm export has written, or "hub:<user>/<name>"
table = eegfm.evaluate(Net, data="synthetic")  # a model of your own
train, val, test = eegfm.datasets("synthetic")  # for torch
X, y, subjects = eegfm.windows("synthetic", split="train")  # for scikit-learn
"""

from typing import TYPE_CHECKING, Any

from eegfm.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from eegfm.export.model import Portable
    from eegfm.training.calls import How, Splits

__all__ = ["__version__", "datasets", "evaluate", "load", "windows"]


def load(
    place: "str | Path",
    *,
    revision: str | None = None,
    tokens: bool = False,
    weights: "str | Path | None" = None,
    trust: "Sequence[str]" = (),
) -> "Portable":
    """A trained model as a torch module, from a run folder, an exported folder or "hub:<user>/<name>".

    Of a folder of adapters alone, `weights` names the backbone's. See `eegfm.export.from_run.load` for the other
    arguments and `eegfm.export.model.Portable` for what comes back.
    """
    from eegfm.export.load import load

    return load(place, revision=revision, tokens=tokens, weights=weights, trust=trust)


def evaluate(
    model: Any,
    data: str,
    how: "How" = "scratch",
    *,
    seeds: "int | Sequence[int]" = 1,
    args: "Mapping[str, Any] | None" = None,
    weights: "str | Path | None" = None,
    name: str | None = None,
    settings: "Sequence[str]" = (),
) -> Any:
    """Train and test a model on a benchmark, once a seed: `eegfm train` from Python, with the same run folders.

    Args:
        model: a torch module or its class, an estimator of scikit-learn, a function that makes one of these, its path
            as a text ("mymodule.Net"), or one of our models ("eegm2"). A class stands in a file that can be imported.
            Of its arguments n_channels, n_classes, n_times, sfreq, ch_names and positions are filled in.
        data: a benchmark ("mental_arithmetic"), or a data set of `./conf/data`.
        how: "scratch"; "finetune" and "probe" begin with the weights of the module, or with `weights`. A probe is a
            logistic regression on what the frozen module gives before its last layer.
        seeds: how many of 654, 114, 25, 759, 281, or the seeds themselves.
        args: further arguments of the class.
        weights: a run folder, or a file of weights.
        name: under which the runs are filed; the name of the class by default.
        settings: more, as on the command line: ["trainer.max_epochs=5", "data.raw=<folder>"].

    Returns:
        A pandas data frame, a list of dicts without pandas: a row "all" and one for each test subject; of every metric
        the mean over seeds, the standard deviation over seeds (`_sd`, ddof 0), and for "all" the ends of the 95 %
        interval over test subjects and seeds (`_low`, `_high`). `attrs` has "runs", the folders, and "reservations",
        sentences that belong to the scores wherever they are shown.

    Raises:
        EegfmError: something that a person can put right; the message says what.
    """
    from eegfm.training.calls import evaluate

    return evaluate(model, data, how, seeds=seeds, args=args, weights=weights, name=name, settings=settings)


def datasets(data: str, *, settings: "Sequence[str]" = ()) -> "Splits":
    """Train, validation and test split of a data set as `torch.utils.data.Dataset` objects, prepared first if need be.

    An item is (x, y): [channel, time] in microvolts, and the class as a number. `subjects`, `keys` and `labels` are in
    the order of the items, `spec` says channels, places, rate and classes. `settings` are as on the command line.
    """
    from eegfm.training.calls import datasets

    return datasets(data, settings=settings)


def windows(
    data: str, split: str = "train", *, settings: "Sequence[str]" = ()
) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """A split of a data set as arrays for scikit-learn: X [window, channel, time] in microvolts, y, subjects.

    y is the class as a number, subjects the id of each window's person (`groups` of scikit-learn's splitters).
    """
    from eegfm.training.calls import windows

    return windows(data, split, settings=settings)
