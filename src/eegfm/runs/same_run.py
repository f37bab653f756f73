"""A run folder holds one run, on one state of its data: what it holds is compared with what is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from eegfm.config.from_file import read, text_of
from eegfm.config.identity import run_identity
from eegfm.contracts import EegfmError
from eegfm.data.base import EEGData
from eegfm.data.recipe import differences
from eegfm.runs.place import CHECKPOINTS
from eegfm.runs.results import CONFIG, read_result, refuse_changed_file
from eegfm.tasks.weights import config_of

TOLD = 6  # differences in a sentence


def refuse_another_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise EegfmError if a folder holds, finished or not, a run of another config than this one, as it is kept.

    A folder that the config names itself (see `config.identity`) holds no other; one that a person has named
    (hydra.run.dir, hydra.sweep.subdir) may.
    """
    path, last = folder / CONFIG, folder / CHECKPOINTS / "last.ckpt"
    try:
        text = text_of(path) if path.is_file() else ""
        if not text and last.is_file():
            text = config_of(last)
        if not text:
            if (folder / "result.json").exists():
                raise EegfmError(
                    f"{folder} holds the result of a run and no config.yaml that says of which. Name another folder, "
                    "or put the file back."
                )
            return
        held = read(text, str(path))
    except EegfmError as error:
        again = f"Delete {folder} and train that run again."
        if path.is_file() and last.is_file():
            again = f"Its checkpoint holds the same: delete {path}, and the same command goes on."
        raise EegfmError(f"{error} {again}") from None
    asked = read(OmegaConf.to_yaml(OmegaConf.create(dict(config))), "the config")
    found = differences(run_identity(asked), run_identity(held))
    if found:
        raise EegfmError(
            f"{folder} holds another run than the one asked for: {_some(found)} (there → asked for). A folder is one "
            "run: name another (hydra.run.dir, or hydra.sweep.subdir of several), or leave that out, and the config "
            "names it."
        )
    if (folder / "result.json").exists():
        refuse_changed_file(read_result(folder), folder, CONFIG)  # the result of another run, put here


def data_at_hand(data: EEGData) -> dict[str, dict[str, Any]]:
    """By corpus, what the data are that a run trains on: the store, and its content in the run's splits and labels.

    See `SampleStore.content_of`. The data must be set up.
    """
    found = {}
    for part in data.corpora.values():
        store, index = part.open(), part.index
        found[part.benchmark.name] = {
            "store": part.recipe.fingerprint,
            "windows": len(index),
            "subjects": len(set(index.subject.tolist())),
            "content": store.content_of(index),
        }
    return found


def refuse_other_data(
    folder: Path, before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise EegfmError if the data at hand are not those that an unfinished run began with."""
    other = [
        f"{name}: {_said(before.get(name))}, and now {_said(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if other:
        raise EegfmError(
            f"The run at {folder} began on other data than those at hand. {'; '.join(other)}. Half of a training on "
            f"each would be neither: put the data back, or delete {folder / CHECKPOINTS} to train from the start."
        )


def _said(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return "absent"
    return (
        f"{facts['windows']:,} windows of {facts['subjects']} subjects (store {facts['store']}, content "
        f"{facts['content']})"
    )


def _some(found: list[str]) -> str:
    more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
    return "; ".join(found[:TOLD]) + more
