"""From nothing to a store that may be trained on: fetch, process, verify, embed; what is done is not done again.

Neither torch nor Lightning is loaded here unless an encoder needs it, so that a finished store is told of at once.
"""

from collections.abc import Sequence
from pathlib import Path

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError, Encodes
from eegfm.data.pipeline import prepare, refuse_partial
from eegfm.data.store import Recipe, SampleStore
from eegfm.data.verify import verify_once
from eegfm.signal.steps import Step


def ready(
    *,
    benchmark: BenchmarkSpec,
    raw: str | Path,
    cache: str | Path,
    encoder: Encodes | None = None,
    steps: Sequence[Step] | None = None,
    imported: bool = False,
    prepare_workers: int = 1,
    allow_partial: bool = False,
    download: bool = False,
    progress: bool = True,
) -> SampleStore:
    """The store of a benchmark's windows, or of an encoder's vectors of them; the arguments are `EEGDataModule`'s.

    Raises:
        EegfmError: see `prepare`, `verify_once` and `embed`.
    """
    raw, cache = Path(raw), Path(cache)
    if imported and steps is not None:
        raise EegfmError(
            "data.imported=true takes windows as the reference has stored them, data.steps works on raw files. "
            "Leave one of the two out."
        )
    recipe = Recipe.of(benchmark, steps, imported=imported)
    folder = cache / recipe.folder
    if imported:
        store = SampleStore.open(cache, recipe)
        if not store.complete:
            refuse_partial(benchmark, store, allow_partial)
    else:
        if download and not ((folder / "recipe.json").exists() and SampleStore(folder).complete):
            from eegfm.data.download import download as fetch

            fetch(benchmark, raw, progress=progress)
        store = prepare(
            benchmark,
            raw,
            cache,
            steps=steps,
            workers=prepare_workers,
            allow_partial=allow_partial,
            progress=progress,
        )
    verify_once(benchmark, raw, cache, recipe=recipe, progress=progress)
    if encoder is None:
        return store
    from eegfm.data.embed import embed

    return embed(store, encoder, cache, progress=progress)
