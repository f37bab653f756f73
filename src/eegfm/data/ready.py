"""Make a store ready for training: fetch, process, verify, embed; what is done already is skipped.

Torch and Lightning are loaded only if an encoder needs them, so a finished store is reported at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eegfm.benchmarks.length import of_length
from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError, Encodes
from eegfm.data.preparing.download import download
from eegfm.data.preparing.origin import has_files
from eegfm.data.preparing.pipeline import prepare, refuse_partial
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.data.verifying.verify import verify_once
from eegfm.signal.steps import Step


@dataclass(frozen=True, eq=False, kw_only=True)
class Preparation:
    """How the store of a corpus is made: from which files, with which windows, steps and encoder, and where it lies.

    The fields are the arguments of `EEGDataModule`; `benchmark` has the protocol's windows, `sized` the wanted ones.
    """

    benchmark: BenchmarkSpec
    raw: Path
    cache: Path
    encoder: Encodes | None = None
    steps: Sequence[Step] | None = None
    window_s: float | None = None
    imported: bool = False
    prepare_workers: int = 1
    allow_partial: bool = False
    download: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("raw", "cache"):  # the working directory may become another
            object.__setattr__(self, name, getattr(self, name).absolute())

    @cached_property
    def sized(self) -> BenchmarkSpec:
        """The benchmark with windows of the wanted length. Raises EegfmError: see `of_length`."""
        return of_length(self.benchmark, self.window_s)

    @property
    def other_s(self) -> float | None:
        """The length of the windows in seconds if it is not the protocol's, else None."""
        return None if self.sized is self.benchmark else self.sized.window_s

    @cached_property
    def of_windows(self) -> Recipe:
        """The recipe of the windows, before any encoder."""
        return Recipe.of(self.sized, self.steps, imported=self.imported)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the store: of the windows, or of the encoder's vectors of them."""
        return self.of_windows if self.encoder is None else self.of_windows.encoded(self.encoder)

    @property
    def not_compared(self) -> str:
        """Why nobody can tell whether the store is made of the files at `raw`; "" if they were compared."""
        if self.imported or self.benchmark.make is not None or has_files(self.raw):
            return ""
        return f"the store was not compared with raw files: there is none at {self.raw}"

    def store(self) -> SampleStore:
        """Make the store if it is missing, and open it; what is done already is skipped.

        Raises:
            EegfmError: see `of_length`, `prepare`, `verify_once` and `embed`.
        """
        store = self._imported() if self.imported else self._prepared()
        verify_once(self.sized, self.raw, self.cache, recipe=self.of_windows, progress=self.progress)
        if self.encoder is None:
            return store
        from eegfm.data.preparing.embed import embed  # loads torch and Lightning

        return embed(store, self.encoder, self.cache, progress=self.progress)

    def _imported(self) -> SampleStore:
        for name, value in (("steps", self.steps), ("window_s", self.window_s)):
            if value is not None:
                raise EegfmError(
                    "data.imported=true takes the windows of the reference as they are, and "
                    f"data.{name} needs raw files. Leave one of the two out."
                )
        store = SampleStore.open(self.cache, self.of_windows)
        if not store.complete:
            refuse_partial(self.sized, store, self.allow_partial)
        return store

    def _prepared(self) -> SampleStore:
        folder = self.cache / self.of_windows.folder
        if self.download and not (SampleStore.is_at(folder) and SampleStore(folder).complete):
            download(self.sized, self.raw, progress=self.progress)
        return prepare(
            self.sized,
            self.raw,
            self.cache,
            steps=self.steps,
            workers=self.prepare_workers,
            allow_partial=self.allow_partial,
            progress=self.progress,
        )


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
