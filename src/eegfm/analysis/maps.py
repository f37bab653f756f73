"""What a run has learned of places (`contracts.MapsPlaces`): spectra of its spatial matrix, scalp maps, a judgement.

Where the sources are known, as on `synthetic`, the importance of channels is held against the true lead field of the
sources that bear the class, over channels: Spearman's rank correlation, and Pearson's beside it. The lead field of a
rhythm is large at one or two electrodes and nearly the same at the others, so that ranks are mostly about those others;
Pearson's is mostly about the electrodes over the source. A lead field is a pattern, so that of the definitions in
`analysis.places` it is "pattern" that must come near it; a good filter need not. The same figures before training stand
beside them, since a map of random weights correlates with something too: electrodes at the rim are seen by fewer
targets.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from eegfm.analysis.places import FRAMES, START, Kept, Look, column_mean
from eegfm.benchmarks.synthetic import CHANNELS, lead_field
from eegfm.contracts import Montage, SampleSpec
from eegfm.drawing import recordings
from eegfm.drawing.html import PLAIN, document, note, paragraph, table
from eegfm.nn.spatial import spectrum
from eegfm.runs.reservations import spatial_sentences
from eegfm.signal.montage import today

SHOWN_TARGETS = ("Fz", "C3", "Cz", "C4", "Oz")  # of which single maps are drawn, where a layout has them
NAMES = {
    "column_mean": "mean magnitude of its weights over targets",
    "gradient": "gradient of the logit margin (filter)",
    "pattern": "the gradient through the covariance of the data (pattern)",
}


def montages(spec: SampleSpec, name: str) -> dict[str, Montage]:
    """The montages that a model meets in a data set, by corpus; of one corpus, and of a mix of one, by its name."""
    return dict(zip(spec.corpora, spec.montages, strict=True)) if spec.montages else {name: spec.montage}


def facts(
    start: Mapping[str, Look],
    end: Mapping[str, Look],
    spaces: Mapping[str, Montage],
    subjects: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """What `RunResult.spatial` holds: by corpus, of the matrix at the start and at the end of a run.

    `spectrum` of each, of so many "targets"; "importance" of the channels, named by "channels", by every definition;
    where the truth is known of `subjects`, "rank_correlation" and "correlation" of each with it. A start that nobody
    has looked at is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for corpus, montage in spaces.items():
        true = truth(corpus, montage, subjects)
        targets = {"targets": len(end[corpus].weights)}
        found[corpus] = {"channels": list(montage.names), **targets}
        for when, looks in (("start", start), ("end", end)):
            if corpus not in looks:
                continue
            one = looks[corpus]
            found[corpus][when] = {
                **spectrum(torch.from_numpy(one.weights)),
                "importance": {name: value.tolist() for name, value in one.importance.items()},
            }
            if true is not None:
                for kind, measure in (("rank_correlation", rank_correlation), ("correlation", correlation)):
                    judged = {name: measure(value, true) for name, value in one.importance.items()}
                    found[corpus][when][kind] = judged
    return found


def truth(corpus: str, montage: Montage, subjects: Sequence[str]) -> Float[np.ndarray, " channel"] | None:
    """How strongly the sources that bear the class are seen at every channel, in µV per nAm; None where nobody knows.

    The root mean square over the sources of the lead field, averaged over the subjects.
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
    """Spearman's, over channels; NaN where all channels matter alike."""
    if np.ptp(importance) == 0:
        return float("nan")
    return float(spearmanr(importance, true)[0])  # pyright: ignore[reportArgumentType]


def correlation(importance: Float[np.ndarray, " channel"], true: Float[np.ndarray, " channel"]) -> float:
    """Pearson's, over channels; NaN where all channels matter alike."""
    return float("nan") if np.ptp(importance) == 0 else float(np.corrcoef(importance, true)[0, 1])


def draw(
    start: Mapping[str, Look],
    end: Mapping[str, Look],
    frames: Mapping[str, Kept],
    spaces: Mapping[str, Montage],
    targets: Montage,
    subjects: Sequence[str],
    title: str,
) -> dict[str, Figure]:
    """Scalp maps by name: importance before and after, single targets, over epochs, and beside the truth."""
    drawn: dict[str, Figure] = {}
    for corpus, montage in spaces.items():
        behind = f"_{corpus}" if len(spaces) > 1 else ""
        said = f"{title}, {corpus}" if len(spaces) > 1 else title
        looks = {"start": start.get(corpus), "tested weights": end[corpus]}
        shown = {when: one for when, one in looks.items() if one is not None}
        unit = f"mean |weight| (all alike: {1 / max(np.isfinite(montage.coords).all(axis=1).sum(), 1):.3g})"
        drawn[f"spatial_importance{behind}"] = recordings.scalp_maps(
            {when: one.importance["column_mean"] for when, one in shown.items()},
            montage,
            unit=unit,
            title=f"{said}, over targets",
        )
        drawn[f"spatial_targets{behind}"] = recordings.scalp_maps(
            {
                f"{targets.names[row]}, {when}": one.weights[row]
                for when, one in shown.items()
                for row in shown_targets(targets)
            },
            montage,
            unit="weight",
            title=f"{said}, single targets",
            rows=len(shown),
            inches=2.4,
        )
        if corpus in frames and len(frames[corpus].epoch) > 1:
            drawn[f"spatial_frames{behind}"] = recordings.scalp_maps(
                over_epochs(frames[corpus]), montage, unit=unit, title=f"{said}, over epochs", inches=1.5
            )
        true = truth(corpus, montage, subjects)
        if true is not None:
            drawn[f"spatial_truth{behind}"] = recordings.scalp_maps(
                beside_truth(shown, true),
                montage,
                unit="share of the sum over channels",
                title=f"{said}, beside the truth",
                inches=2.4,
            )
    return drawn


def shown_targets(targets: Montage) -> list[int]:
    """Rows of some targets: well-known places, or as many spread over the list where a layout has other names."""
    names = [today(name) for name in targets.names]
    known = [names.index(today(name)) for name in SHOWN_TARGETS if today(name) in names]
    if known:
        return known
    return np.unique(np.linspace(0, len(names) - 1, min(5, len(names))).round().astype(int)).tolist()


def over_epochs(kept: Kept) -> dict[str, Float[np.ndarray, " channel"]]:
    """The column means of at most `FRAMES` frames, evenly chosen, the first and the last among them."""
    chosen = np.linspace(0, len(kept.epoch) - 1, min(FRAMES, len(kept.epoch))).round().astype(int)
    return {
        "start" if kept.epoch[i] == START else f"epoch {kept.epoch[i] + 1}": column_mean(kept.weights[i])
        for i in np.unique(chosen)
    }


def beside_truth(
    shown: Mapping[str, Look], true: Float[np.ndarray, " channel"]
) -> dict[str, Float[np.ndarray, " channel"]]:
    """The true lead field and every importance, each as shares of its sum, so that one scale serves them all."""
    maps = {"true lead field": true / true.sum()}
    for when, one in shown.items():
        for name, value in one.importance.items():
            rank, linear = rank_correlation(value, true), correlation(value, true)
            maps[f"{name.replace('_', ' ')}, {when}\nρ {rank:.2f}, r {linear:.2f}"] = value / value.sum()
    return maps


def page(title: str, spatial: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, Path]) -> str:
    """What a run has learned of places, as HTML beside its figures, which it shows from `figures/`."""
    body = [f"<h1>{escape(title)}: what is seen of every channel</h1>"]
    body += [paragraph(sentence) for sentence in spatial_sentences(spatial)]
    for corpus, one in spatial.items():
        times = [when for when in ("start", "end") if when in one]
        body.append(f"<h2>{escape(corpus)}</h2>")
        body.append(
            table(
                ["singular values, relative to the first", *map(str, range(1, 9)), "effective rank"],
                [
                    [
                        when,
                        *[f"{value:.4f}" for value in one[when]["singular_values"]],
                        *[""] * (8 - len(one[when]["singular_values"])),
                        f"{one[when]['effective_rank']:.2f}",
                    ]
                    for when in times
                ],
            )
        )
        judged = [when for when in times if "rank_correlation" in one[when]]
        if judged:
            names = list(dict.fromkeys(name for when in judged for name in one[when]["rank_correlation"]))
            kinds = {"rank_correlation": "rank correlation", "correlation": "Pearson's"}
            rows = [
                [f"{NAMES[name]}, {said}", *(_said(one[when].get(kind, {}).get(name)) for when in judged)]
                for name in names
                for kind, said in kinds.items()
            ]
            body.append(table(["correlation of channels with the true lead field", *judged], rows))
    body.append(note("Maps are seen from above, nose up, each with its lowest and highest value."))
    body += [
        f'<p><img src="figures/{escape(path.name)}" alt="{escape(name)}"></p>'
        for name, path in pictures.items()
    ]
    return document(title, PLAIN, body)


def _said(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
