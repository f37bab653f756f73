"""Read a person's file: by the reader of its format, or by a function of theirs."""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np

from eegfm.benchmarks.own.channels import chosen
from eegfm.contracts import EegfmError, Montage
from eegfm.signal.formats.any_file import open_any
from eegfm.signal.formats.bids import open_bids
from eegfm.signal.recording import Recording
from eegfm.support.words import some


def read_file(
    path: Path, montage: Montage, aliases: Mapping[str, str], units: Mapping[str, str | float], bids: bool
) -> tuple[Recording, int]:
    """The wanted channels in microvolts, and the number that MNE gives to the file's first sample."""
    opened = open_bids(path) if bids else open_any(path)
    if units:
        opened = opened.in_units(units)
    channels = chosen(opened.names, montage.names, aliases, path)
    without = [name for name in channels if any(fault.of_unit for fault in opened.faults.get(name, ()))]
    if without:
        what = opened.faults[without[0]][0].what
        raise EegfmError(
            f"{path}: {some(without, 4)} {what}. Say what one number is, under units: {{{without[0]}: uV}}, or "
            '{"*": uV} for all channels.'
        )
    return opened.recording(channels, montage), int(opened.raw.first_samp)


def read_by(reader: str, path: Path, montage: Montage, aliases: Mapping[str, str]) -> Recording:
    """The wanted channels of what a person's function makes of a file.

    It may give names, microvolts and rate, `(names, data, sfreq)` with data [channel, time] or [epoch, channel, time];
    an `mne.io.Raw`, in volts; or a `Recording`. Only the last two have events.

    Raises EegfmError if there is no such function, if it fails, or if it gives something else.
    """
    read = function_of(reader)
    try:
        given = read(path)
    except EegfmError:
        raise
    except Exception as error:  # anybody's code, on anybody's file
        raise EegfmError(f"{path}: {reader} failed with {type(error).__name__}: {error}") from error
    if isinstance(given, mne.io.BaseRaw):
        channels = chosen(given.ch_names, montage.names, aliases, path)
        return Recording.from_mne(given, channels=channels, path=path, montage=montage)
    if isinstance(given, tuple):
        found = _of_arrays(given, f"{path}: {reader}")
    elif isinstance(given, Recording):
        found = given
    else:
        raise EegfmError(
            f"{path}: {reader} gave a {type(given).__name__}. One of these is wanted: (names, data in microvolts "
            "[channel, time], sfreq), an mne.io.Raw, or an eegfm.signal.recording.Recording."
        )
    channels = chosen(found.montage.names, montage.names, aliases, path)
    rows = [found.montage.names.index(name) for name in channels]
    return replace(found, data=found.data[rows], montage=montage, path=path)


def _of_arrays(given: tuple[Any, ...], who: str) -> Recording:
    try:
        names, data, sfreq = given
        names, data, sfreq = tuple(map(str, names)), np.asarray(data, dtype=np.float64), float(sfreq)
    except (TypeError, ValueError) as error:
        raise EegfmError(f"{who} gave no (names, data in microvolts, sfreq): {error}.") from None
    if data.ndim not in (2, 3) or data.shape[-2] != len(names) or not 0 < sfreq < np.inf:
        raise EegfmError(
            f"{who} gave {len(names)} names, data of shape {data.shape} and {sfreq:g} Hz; [channel, time] or [epoch, "
            "channel, time] is wanted."
        )
    nowhere = Montage(names, np.full((len(names), 3), np.nan))
    if data.ndim == 2:
        return Recording(data, sfreq, nowhere)
    return Recording.of_epochs(data, sfreq, nowhere, [str(i) for i in range(len(data))])


def function_of(reader: str) -> Any:
    """The function of a dotted name; modules beside the person, in the working folder, are found as well."""
    module, _, name = reader.rpartition(".")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise EegfmError(
            f"reader: {reader} cannot be imported ({type(error).__name__}: {error}). The name of a function is wanted, "
            f"in a module in {here} or in an installed package: mymodule.read"
        ) from error
    if not callable(found):
        raise EegfmError(f"reader: {reader} is no function.")
    return found
