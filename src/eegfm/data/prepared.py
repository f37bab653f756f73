"""The facts about a store before a run uses it, in the form of a run's data."""

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.data.facts import BenchmarkFacts, Leakage
from eegfm.data.store import SampleStore


def facts_of(store: SampleStore, benchmark: BenchmarkSpec, window_s: float | None = None) -> BenchmarkFacts:
    """The facts of a store in the published splits; `window_s` where its windows are not the benchmark's."""
    manifest = store.manifest
    return BenchmarkFacts(
        benchmark=benchmark.name,
        title=benchmark.title,
        protocol=benchmark.protocol,
        published_steps=store.recipe.facts["published_steps"],
        window_s=window_s,
        fingerprint=store.recipe.fingerprint,
        store=str(store.folder),
        complete=manifest["complete"],
        simulated=manifest["simulated"],
        imported=manifest.get("imported", {}).get("said", ""),
        subjects=manifest["census"]["subjects"],
        subjects_total=manifest["subjects_total"],
        missing=manifest["missing"],
        unusable=manifest["unusable"],
        census=manifest["census"]["per_class"],
        census_differences=manifest["census_differences"],
        within_subject=manifest["within_subject"],
        split={},
        leakage=Leakage(),
        corpora={},
        draws={},
    )
