"""What must be known before a number of a run is believed, in sentences."""

from collections.abc import Mapping
from typing import Any

from eegfm.runs.results import RunResult


def spatial_sentences(spatial: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`RunResult.spatial`, a sentence a corpus: what its spatial matrix lets through, and how near the truth it is."""
    found = []
    for corpus, one in spatial.items():
        times = [one[when] for when in ("start", "end") if when in one]
        second = " → ".join(f"{time['second']:.3g}" for time in times)
        rank = " → ".join(f"{time['effective_rank']:.1f}" for time in times)
        said = (
            f"spatial matrix{f' of {corpus}' * (len(spatial) > 1)}: second singular value {second} of the first, "
            f"effective rank {rank} ({len(one['channels'])} channels seen from {one['targets']} places)"
        )
        judged = [time for time in times if "rank_correlation" in time]
        parts = []
        for name in dict.fromkeys(name for time in judged for name in time["rank_correlation"]):
            for kind, sign in (("rank_correlation", "ρ"), ("correlation", "r")):
                values = [time.get(kind, {}).get(name) for time in judged]
                shown = " → ".join("–" if v is None or v != v else f"{v:.2f}" for v in values)
                parts.append(f"{name.replace('_', ' ') + ' ' if sign == 'ρ' else ''}{sign} {shown}")
        if parts:
            said += f"; channels against the true lead field: {', '.join(parts)}"
        found.append(said)
    return found


def overlap_sentence(result: RunResult) -> str:
    """That test subjects were in the pre-training, and who."""
    names = result.overlap
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"OVERLAP: the weights have seen {len(names)} of the test subjects ({', '.join(names[:5])}{more})"
    )


def seen_sentence(seen: Mapping[str, str]) -> str:
    """That published weights were trained on what is tested on."""
    said = "; ".join(f"{name}: {how}" for name, how in seen.items())
    return f"SEEN: the weights were trained on what is tested here ({said})"


def diagnostic_sentences(
    diagnostics: Mapping[str, Mapping[str, float]], tested: Mapping[str, float]
) -> list[str]:
    """`RunResult.diagnostics`, a sentence a control, beside the run's own test metrics."""
    found = []
    said = {
        "shuffled": "labels shuffled in training",
        "shuffled_within_person": "labels shuffled within each person",
        "person_alone": "knowing nothing but who it is",
    }
    for name, what in said.items():
        numbers = diagnostics.get(name, {})
        shown = [
            f"{metric.replace('_', ' ')} {_two(numbers[metric])} (this {_two(tested[metric])})"
            for metric in ("balanced_accuracy", "auroc", "cohen_kappa")
            if metric in numbers and metric in tested
        ]
        if shown:
            found.append(f"{what}: {', '.join(shown)}")
    told = diagnostics.get("persons_told", {})
    if told:
        found.append(
            f"{told['persons']:.0f} test persons told apart by the features: balanced accuracy "
            f"{_two(told['balanced_accuracy'])} (chance {_two(told['chance'])})"
        )
    return found


def _two(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"
