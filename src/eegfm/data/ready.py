"""Make a store ready for training: fetch, process, verify, embed; what is done already is skipped.

Torch and Lightning are loaded only if an encoder needs them, so a finished store is reported at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eegfm.benchmarks.length import of_length
from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError, Encodes
from eegfm.data.preparing.download import download as fetch
from eegfm.data.preparing.pipeline import prepare, refuse_partial
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.data.verifying.verify import verify_once
from eegfm.signal.steps import Step


def ready(
    *,
    benchmark: BenchmarkSpec,
    raw: str | Path,
    cache: str | Path,
    encoder: Encodes | None = None,
    steps: Sequence[Step] | None = None,
    window_s: float | None = None,
    imported: bool = False,
    prepare_workers: int = 1,
    allow_partial: bool = False,
    download: bool = False,
    progress: bool = True,
) -> SampleStore:
    """The store of a benchmark's windows, or of an encoder's vectors of them; the arguments are `EEGDataModule`'s.

    Raises:
        EegfmError: see `of_length`, `prepare`, `verify_once` and `embed`.
    """
    raw, cache = Path(raw), Path(cache)
    for name, value in (("steps", steps), ("window_s", window_s)):
        if imported and value is not None:
            raise EegfmError(
                f"data.imported=true takes the windows of the reference as they are, and data.{name} needs raw files. "
                "Leave one of the two out."
            )
    benchmark = of_length(benchmark, window_s)
    recipe = Recipe.of(benchmark, steps, imported=imported)
    folder = cache / recipe.folder
    if imported:
        store = SampleStore.open(cache, recipe)
        if not store.complete:
            refuse_partial(benchmark, store, allow_partial)
    else:
        if download and not (SampleStore.is_at(folder) and SampleStore(folder).complete):
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
    from eegfm.data.preparing.embed import embed  # loads torch and Lightning

    return embed(store, encoder, cache, progress=progress)


@contextmanager
def as_part(corpus: str) -> Iterator[None]:
    """For work on one corpus of several: sentences that say what to type then name its setting; "" stands alone."""
    try:
        yield
    except EegfmError as error:
        if not corpus:
            raise
        raise EegfmError(
            f"{error}\nThis is one corpus of a mix: for data.<setting>= type data.corpora.{corpus}.<setting>="
        ) from None
