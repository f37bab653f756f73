"""The channels of a mix: the same of every corpus, or each corpus's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.signal.montage import montage_of, today

Channels = Literal["all", "common", "own"]


@dataclass(frozen=True)
class Chosen:
    """The rows of each corpus that a mix takes, and the places that they are.

    `montages` are those of the corpora where each keeps its own channels, else empty; `montage` has every place once.
    """

    rows: dict[str, Int[np.ndarray, " row"]]
    montage: Montage
    montages: dict[str, Montage]


def choose(specs: Mapping[str, SampleSpec], channels: Channels) -> Chosen:
    """The channels that a mix of these corpora has. Raises EegfmError: see `shared_rows`."""
    names = {corpus: spec.montage.names for corpus, spec in specs.items()}
    if channels == "own":
        # a row that is no place on the scalp (the ears' difference) is nothing to a model that reads places
        rows = {corpus: on_the_scalp(spec) for corpus, spec in specs.items()}
        same = one_name_a_place({corpus: [names[corpus][i] for i in own] for corpus, own in rows.items()})
        every = montage_of(list(dict.fromkeys(place for own in same.values() for place in own)))
        return Chosen(rows, every, {corpus: montage_of(own) for corpus, own in same.items()})
    rows = shared_rows(names, channels)
    first = next(iter(names))
    return Chosen(rows, montage_of([names[first][i] for i in rows[first]]), {})


def on_the_scalp(spec: SampleSpec) -> Int[np.ndarray, " row"]:
    """The rows whose places are known."""
    return np.flatnonzero(np.isfinite(spec.montage.coords).all(axis=1))


def one_name_a_place(channels_of: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The channels of every corpus, each under the name that the first corpus with it has for it (T3 is T7)."""
    known: dict[str, str] = {}
    return {
        corpus: [known.setdefault(today(name), name) for name in names]
        for corpus, names in channels_of.items()
    }


def shared_rows(
    channels_of: Mapping[str, Sequence[str]], channels: Channels
) -> dict[str, Int[np.ndarray, " row"]]:
    """The rows of every corpus that hold the shared channels, in the order of the first one's.

    Channels go by name, in any case, old names of the 10-20 system with those of today (T3 is T7).

    Raises:
        EegfmError: another choice; "all", and one corpus has a channel that another has not; fewer than two in common.
    """
    if channels not in ("all", "common"):
        raise EegfmError(f"data.channels={channels}: all, common or own is wanted.")
    rows = {
        corpus: {today(name): i for i, name in enumerate(names)} for corpus, names in channels_of.items()
    }
    shared = [name for name in next(iter(rows.values())) if all(name in known for known in rows.values())]
    different = any(len(names) != len(shared) for names in channels_of.values())
    if different and (channels == "all" or len(shared) < 2):
        said = "; ".join(
            f"{corpus} {len(names)} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
            for corpus, names in channels_of.items()
        )
        raise EegfmError(
            f"These corpora have different channels, and a model is built for one montage: {said}. "
            + (
                f"They have {len(shared)} in common; to use those alone: data.channels=common"
                if len(shared) > 1
                else f"They have {len(shared)} in common, too few. Mix others: data/corpora=[...]"
            )
            + "; or, with a model that reads places (model=samba): data.channels=own"
        )
    return {corpus: np.array([known[name] for name in shared]) for corpus, known in rows.items()}
