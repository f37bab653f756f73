"""`eegfm prepare data=<benchmark> [encoder=<encoder>]`: prepare a benchmark's data ahead of training.

The result is a store: processed windows, or an encoder's vectors of them, in the cache. Training prepares a missing
store by itself.
"""

from omegaconf import DictConfig

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.config.corpora import corpora_of, preparation_of
from eegfm.config.doors import door
from eegfm.config.make import make
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.ready import as_part
from eegfm.data.store import SampleStore
from eegfm.runs.reservations import reservations
from eegfm.support.words import console


def prepare(config: DictConfig) -> None:
    for name, data in corpora_of(config.data).items():
        with as_part(name):
            _prepare(data, config)


def _prepare(data: DictConfig, config: DictConfig) -> None:
    preparation = preparation_of(data, make(config.encoder, "encoder"))
    show(preparation.store(), preparation.sized, preparation.other_s)
    if preparation.not_compared:
        print(f"  {preparation.not_compared}")


def show(store: SampleStore, benchmark: BenchmarkSpec, window_s: float | None) -> None:
    """Show a store and the reservations about it; `window_s` if its windows are not the benchmark's."""
    screen = console()
    facts = BenchmarkFacts.of_store(
        store.folder, store.manifest, benchmark, window_s, content=store.content
    )
    screen.print(f"{benchmark.title} ({facts.protocol}) is prepared: {store.folder}", style="bold")
    for split, classes in facts.census.items():
        n = len(facts.subjects[split])
        screen.print(f"  {split:<6}{sum(classes):,} windows {classes}, {n} subjects")
    for sentence in [*map(str, reservations(facts)), *facts.census_differences]:
        screen.print(f"  {sentence}", style="yellow")
    for left_out in store.manifest.left_out[:10]:
        screen.print(f"  left out: {left_out['recording']}: {left_out['reason']}")


main = door("prepare", "eegfm.prepare:prepare", purpose=__doc__)

if __name__ == "__main__":
    main()
