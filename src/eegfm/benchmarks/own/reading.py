"""Read a person's file: by the reader of its format, or by a function of theirs."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mne
import numpy as np

from eegfm.benchmarks.own.channels import chosen
from eegfm.contracts import EegfmError, Montage
from eegfm.signal.declared import Declared
from eegfm.signal.formats.any_file import open_any, open_raw
from eegfm.signal.formats.bids import open_bids
from eegfm.signal.formats.opened import VOLT_UV, Opened, Stretch
from eegfm.signal.recording import Recording
from eegfm.support.words import some


def opener(reader: str | None, bids: bool) -> Callable[[Path], Opened]:
    """How files are opened: by a person's function, with their sidecars of BIDS, or by the reader of their format."""
    return partial(open_by, reader) if reader is not None else open_bids if bids else open_any


def read_file(path: Path, montage: Montage, declared: Declared) -> tuple[Recording, int]:
    """The wanted channels in microvolts, and the number that MNE gives to the file's first sample."""
    opened = declared.opened(path)
    channels = chosen(opened.names, montage.names, opened.aliases, path)
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
    given = _given(reader, path)
    if isinstance(given, mne.io.BaseRaw):
        channels = chosen(given.ch_names, montage.names, aliases, path)
        return Recording.from_mne(given, channels=channels, path=path, montage=montage)
    channels = chosen(given.montage.names, montage.names, aliases, path)
    rows = [given.montage.names.index(name) for name in channels]
    return replace(given, data=given.data[rows], montage=montage, path=path)


def open_by(reader: str, path: Path) -> Opened:
    """What a person's function makes of a file (see `read_by`), as an open file."""
    given = _given(reader, path)
    if isinstance(given, mne.io.BaseRaw):
        return open_raw(given, path)
    info = mne.create_info([*given.montage.names], given.sfreq, "eeg")
    spans = zip(given.pieces, given.spans(), strict=True)
    return replace(
        open_raw(mne.io.RawArray(given.data / VOLT_UV, info, verbose="error"), path),
        stretches=[Stretch(first, after, piece.onset_s) for piece, (first, after) in spans],
        events=given.events,
    )


def _given(reader: str, path: Path) -> "mne.io.BaseRaw | Recording":
    read = function_of(reader)
    try:
        given = read(path)
    except EegfmError:
        raise
    except Exception as error:  # anybody's code, on anybody's file
        raise EegfmError(f"{path}: {reader} failed with {type(error).__name__}: {error}") from error
    if isinstance(given, mne.io.BaseRaw | Recording):
        return given
    if isinstance(given, tuple):
        return _of_arrays(given, f"{path}: {reader}")
    raise EegfmError(
        f"{path}: {reader} gave a {type(given).__name__}. One of these is wanted: (names, data in microvolts "
        "[channel, time], sfreq), an mne.io.Raw, or an eegfm.signal.recording.Recording."
    )


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
