"""The corpora of a config's data: one, or those of a mix."""

from dataclasses import fields
from pathlib import Path

from omegaconf import DictConfig

from eegfm.config.make import make
from eegfm.contracts import EegfmError, Encodes
from eegfm.data.ready import Preparation


def corpora_of(data: DictConfig) -> dict[str, DictConfig]:
    """The node of each corpus by name; one corpus is a mix of one, and has the name "" where it is alone."""
    return dict(data.get("corpora", {"": data}))


def one_corpus(config: DictConfig, what: str) -> DictConfig:
    """The node of the config's corpus, for a command that handles one (`what` says how); several are refused."""
    corpora = corpora_of(config.data)
    if len(corpora) != 1:
        each = " or ".join(f"data={name}" for name in corpora) or "data=<benchmark>"
        raise EegfmError(f"A mix of benchmarks was given to {what}. Take one at a time: {each}")
    (data,) = corpora.values()
    return data


def preparation_of(data: DictConfig, encoder: Encodes | None = None) -> Preparation:
    """How the store of a corpus's node comes about, without the data module, which loads Lightning for seconds."""
    given = {one.name: data[one.name] for one in fields(Preparation) if one.name in data}
    steps = None if data.steps is None else [make(step, "data.steps") for step in data.steps]
    made = {"benchmark": make(data.benchmark, "data.benchmark"), "steps": steps, "encoder": encoder}
    return Preparation(**{**given, **made, "raw": Path(data.raw), "cache": Path(data.cache)})
