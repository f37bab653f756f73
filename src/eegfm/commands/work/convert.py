"""What `eegfm convert` does: import an LMDB, then show its counts and the command that trains on it."""

import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from eegfm.config.corpora import one_corpus, preparation_of
from eegfm.contracts import EegfmError
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.preparing.convert import convert
from eegfm.runs.reservations import reservations
from eegfm.support.words import console


def convert_store(config: DictConfig) -> None:
    """Import the LMDB, then show the counts, the reservations and the command that trains on the store."""
    if OmegaConf.is_missing(config, "lmdb"):
        raise EegfmError("Name the LMDB to import: lmdb=<folder>")
    data = preparation_of(one_corpus(config, "eegfm convert"))
    for name, value in (("steps", data.steps), ("window_s", data.window_s)):
        if value is not None:
            raise EegfmError(
                f"data.{name} cannot be applied: the windows of the LMDB are already processed and cut. Leave it out."
            )
    store = convert(
        data.benchmark,
        Path(str(config.lmdb)).expanduser(),
        data.cache,
        allow_partial=data.allow_partial,
        progress=data.progress,
    )
    facts = BenchmarkFacts.of_store(store.folder, store.manifest, data.benchmark, content=store.content)
    screen = console(soft_wrap=True)
    screen.print(
        f"{data.benchmark.title} ({data.benchmark.protocol}), {facts.imported}: {store.folder}",
        style="bold",
    )
    for split, subjects in facts.subjects.items():
        classes = facts.census[split]
        screen.print(f"  {split:<6}{sum(classes):,} windows {classes}, {len(subjects)} subjects")
    for sentence in [*map(str, reservations(facts)), *facts.census_differences]:
        screen.print(f"  {sentence}", style="yellow")
    settings = [
        shlex.quote(text) for text in HydraConfig.get().overrides.task if not text.startswith("lmdb=")
    ]
    if "data.imported=true" not in settings:
        settings.append("data.imported=true")
    screen.print(f"next   eegfm train {' '.join(settings)} model=stamp encoder=spectrum")
