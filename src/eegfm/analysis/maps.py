"""Report on the spatial matrix of a run (`contracts.MapsPlaces`): singular values, scalp maps, comparison with truth.

If the sources are known, as on `synthetic`, the importance of channels is correlated over channels with the true lead
field of the sources that carry the class, by Spearman's rank correlation and by Pearson's. The lead field of a rhythm
is large at one or two electrodes and nearly the same at the others. So the ranks depend mostly on the others, and
Pearson's correlation on the electrodes over the source. A lead field is a pattern: among the definitions in
`analysis.places`, "pattern" must come near it, and a good filter need not. The same correlations before training stand
beside them, because a map of random weights also correlates with the truth: fewer targets see electrodes at the rim.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from eegfm.analysis.places import FRAMES, START, Frames, Look, column_mean
from eegfm.benchmarks.synthetic import CHANNELS, lead_field
from eegfm.contracts import Montage, SampleSpec
from eegfm.drawing import recordings
from eegfm.drawing.html import PLAIN, document, note, paragraph, table
from eegfm.nn.spatial import spectrum
from eegfm.runs.reservations import spatial_sentences
from eegfm.signal.montage import today

SHOWN_TARGETS = ("Fz", "C3", "Cz", "C4", "Oz")  # targets with a map of their own, if the layout has them
NAMES = {
    "column_mean": "mean magnitude of the weights over targets",
    "gradient": "gradient of the logit margin (filter)",
    "pattern": "the gradient through the covariance of the data (pattern)",
}


def montages(spec: SampleSpec, name: str) -> dict[str, Montage]:
    """The montages of a data set by corpus; a data set with one montage has it under its name."""
    return dict(zip(spec.corpora, spec.montages, strict=True)) if spec.montages else {name: spec.montage}


def facts(
    start: Mapping[str, Look],
    end: Mapping[str, Look],
    spaces: Mapping[str, Montage],
    subjects: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """The contents of `RunResult.spatial`: by corpus, facts about the matrix at the start and at the end of a run.

    Each corpus has its "channels" and the number of "targets". "start" and "end" hold the `spectrum` of the matrix and
    the "importance" of the channels by every definition; if the truth is known for `subjects`, also the
    "rank_correlation" and "correlation" of each with it. "start" is absent if nobody looked at the matrix then.
    """
    by_corpus: dict[str, dict[str, Any]] = {}
    for corpus, montage in spaces.items():
        true = truth(corpus, montage, subjects)
        targets = {"targets": len(end[corpus].weights)}
        by_corpus[corpus] = {"channels": list(montage.names), **targets}
        for when, looks in (("start", start), ("end", end)):
            if corpus not in looks:
                continue
            look = looks[corpus]
            by_corpus[corpus][when] = {
                **spectrum(torch.from_numpy(look.weights)),
                "importance": {name: value.tolist() for name, value in look.importance.items()},
            }
            if true is not None:
                for kind, measure in (("rank_correlation", rank_correlation), ("correlation", correlation)):
                    by_name = {name: measure(value, true) for name, value in look.importance.items()}
                    by_corpus[corpus][when][kind] = by_name
    return by_corpus


def truth(corpus: str, montage: Montage, subjects: Sequence[str]) -> Float[np.ndarray, " channel"] | None:
    """How strongly every channel sees the sources that carry the class, in µV per nAm; None if the sources are unknown.

    This is the root mean square of the lead field over the sources, averaged over the subjects.
    """
    if not knows_truth(corpus) or not subjects:
        return None
    rows = {name: row for row, name in enumerate(map(today, CHANNELS))}
    each = [np.sqrt(np.square(lead_field(subject)).mean(axis=1)) for subject in subjects]
    return np.mean(each, axis=0)[[rows[today(name)] for name in montage.names]]


def knows_truth(corpus: str) -> bool:
    """Whether the sources of a corpus are known."""
    return corpus == "synthetic"


def rank_correlation(
    importance: Float[np.ndarray, " channel"], true: Float[np.ndarray, " channel"]
) -> float:
    """Spearman's correlation over channels; NaN if all channels are equally important."""
    if np.ptp(importance) == 0:
        return float("nan")
    return float(spearmanr(importance, true)[0])  # pyright: ignore[reportArgumentType]


def correlation(importance: Float[np.ndarray, " channel"], true: Float[np.ndarray, " channel"]) -> float:
    """Pearson's correlation over channels; NaN if all channels are equally important."""
    return float("nan") if np.ptp(importance) == 0 else float(np.corrcoef(importance, true)[0, 1])


def draw(
    start: Mapping[str, Look],
    end: Mapping[str, Look],
    frames: Mapping[str, Frames],
    spaces: Mapping[str, Montage],
    targets: Montage,
    subjects: Sequence[str],
    title: str,
) -> dict[str, Figure]:
    """Scalp maps by name: importance before and after training, single targets, frames over epochs, and the truth."""
    drawn: dict[str, Figure] = {}
    for corpus, montage in spaces.items():
        suffix = f"_{corpus}" if len(spaces) > 1 else ""
        heading = f"{title}, {corpus}" if len(spaces) > 1 else title
        looks = {"start": start.get(corpus), "tested weights": end[corpus]}
        shown = {when: look for when, look in looks.items() if look is not None}
        unit = f"mean |weight| (equal weights: {1 / max(np.isfinite(montage.coords).all(axis=1).sum(), 1):.3g})"
        drawn[f"spatial_importance{suffix}"] = recordings.scalp_maps(
            {when: look.importance["column_mean"] for when, look in shown.items()},
            montage,
            unit=unit,
            title=f"{heading}, over targets",
        )
        drawn[f"spatial_targets{suffix}"] = recordings.scalp_maps(
            {
                f"{targets.names[row]}, {when}": look.weights[row]
                for when, look in shown.items()
                for row in shown_targets(targets)
            },
            montage,
            unit="weight",
            title=f"{heading}, single targets",
            rows=len(shown),
            inches=2.4,
        )
        if corpus in frames and len(frames[corpus].epoch) > 1:
            drawn[f"spatial_frames{suffix}"] = recordings.scalp_maps(
                over_epochs(frames[corpus]), montage, unit=unit, title=f"{heading}, over epochs", inches=1.5
            )
        true = truth(corpus, montage, subjects)
        if true is not None:
            drawn[f"spatial_truth{suffix}"] = recordings.scalp_maps(
                beside_truth(shown, true),
                montage,
                unit="share of the sum over channels",
                title=f"{heading}, beside the truth",
                inches=2.4,
            )
    return drawn


def shown_targets(targets: Montage) -> list[int]:
    """The rows of `SHOWN_TARGETS`; if the layout has none of them, five rows spread over the list."""
    names = [today(name) for name in targets.names]
    known = [names.index(today(name)) for name in SHOWN_TARGETS if today(name) in names]
    if known:
        return known
    return np.unique(np.linspace(0, len(names) - 1, min(5, len(names))).round().astype(int)).tolist()


def over_epochs(frames: Frames) -> dict[str, Float[np.ndarray, " channel"]]:
    """The column means of at most `FRAMES` frames, evenly spaced, with the first and the last."""
    chosen = np.linspace(0, len(frames.epoch) - 1, min(FRAMES, len(frames.epoch))).round().astype(int)
    return {
        "start" if frames.epoch[i] == START else f"epoch {frames.epoch[i] + 1}": column_mean(
            frames.weights[i]
        )
        for i in np.unique(chosen)
    }


def beside_truth(
    shown: Mapping[str, Look], true: Float[np.ndarray, " channel"]
) -> dict[str, Float[np.ndarray, " channel"]]:
    """The true lead field and every importance, each divided by its sum, so that all fit one scale."""
    maps = {"true lead field": true / true.sum()}
    for when, look in shown.items():
        for name, value in look.importance.items():
            rank, linear = rank_correlation(value, true), correlation(value, true)
            maps[f"{name.replace('_', ' ')}, {when}\nρ {rank:.2f}, r {linear:.2f}"] = value / value.sum()
    return maps


def page(title: str, spatial: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, Path]) -> str:
    """The HTML page about a run's spatial matrices; it shows the pictures from `figures/` beside it."""
    body = [f"<h1>{escape(title)}: how much the model sees of every channel</h1>"]
    body += [paragraph(sentence) for sentence in spatial_sentences(spatial)]
    for corpus, matrix in spatial.items():
        times = [when for when in ("start", "end") if when in matrix]
        body.append(f"<h2>{escape(corpus)}</h2>")
        body.append(
            table(
                ["singular values, relative to the first", *map(str, range(1, 9)), "effective rank"],
                [
                    [
                        when,
                        *[f"{value:.4f}" for value in matrix[when]["singular_values"]],
                        *[""] * (8 - len(matrix[when]["singular_values"])),
                        f"{matrix[when]['effective_rank']:.2f}",
                    ]
                    for when in times
                ],
            )
        )
        compared = [when for when in times if "rank_correlation" in matrix[when]]
        if compared:
            names = list(
                dict.fromkeys(name for when in compared for name in matrix[when]["rank_correlation"])
            )
            kinds = {"rank_correlation": "rank correlation", "correlation": "Pearson's"}
            rows = [
                [
                    f"{NAMES[name]}, {said}",
                    *(_three_digits(matrix[when].get(kind, {}).get(name)) for when in compared),
                ]
                for name in names
                for kind, said in kinds.items()
            ]
            body.append(table(["correlation of channels with the true lead field", *compared], rows))
    body.append(
        note("Maps show the head from above, nose up; each map gives its lowest and highest value.")
    )
    body += [
        f'<p><img src="figures/{quote(path.name)}" alt="{escape(name)}"></p>'
        for name, path in pictures.items()
    ]
    return document(title, PLAIN, body)


def _three_digits(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
