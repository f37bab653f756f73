"""Explain a trained classifier on a split: curves, attention maps, and one page with all of them.

If the backbone pools by attention (`contracts.Attends`), a file holds the attention of every window, and the figures
show its mean by class. On data whose sources are known, the attention over channels is compared with the true lead
field, as in `eegfm.analysis.maps`. This does not judge the encoder, whose tokens are of one channel each.
"""

from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig

from eegfm.analysis.maps import correlation, rank_correlation, truth
from eegfm.benchmarks.spec import SplitName
from eegfm.build import put_trained, untrained
from eegfm.contracts import Attends, EegfmError
from eegfm.drawing import classifiers as drawing_classifiers
from eegfm.drawing import runs, style
from eegfm.drawing.html import PLAIN, document, note, paragraph, picture, table
from eegfm.runs.corpora_seen import reservations_at
from eegfm.runs.evaluations import folder_of_evaluation
from eegfm.runs.outputs import subject_scores
from eegfm.runs.place import Place
from eegfm.runs.reservations import titled
from eegfm.runs.results import json_values
from eegfm.runs.wandb import send_figures, wandb_of
from eegfm.support.files import write_json, write_text
from eegfm.support.words import console
from eegfm.tasks.classify import Classify
from eegfm.tasks.decision import decide
from eegfm.tasks.metric_names import in_order, spoken
from eegfm.tasks.metrics import probabilities, scores


def explain(
    config: DictConfig, place: Place, split: SplitName, typed: Mapping[str, Any] | None = None
) -> Path:
    """Write `explain_<split>.html`, its numbers as JSON and the attention as `attention_<split>.npz`; returns the page.

    `config` is the run's own. The files go to a folder of their own (see `runs.evaluations`). The file of attention
    holds "key" and "label" by window, and "attention" [window, head, second, channel] in float16. If the run was
    logged to W&B, and `logger` of `typed` says where, the figures go to the same W&B run, as
    `explain_<split>/<figure>`: the run's own config may be somebody else's, and sends nothing anywhere.

    Raises:
        EegfmError: the run is not a trained classifier.
    """
    run = untrained(config, place)
    data, task = run.data, run.task
    if not isinstance(task, Classify):
        raise EegfmError(
            f"explain=true needs a run of task=classify, and this run is {type(task).__name__}. For its scores, type: "
            "eegfm evaluate run=<run>"
        )
    data.prepare_data()
    data.setup("test" if split == "test" else "fit")
    put_trained(task, place)
    outputs = _outputs(task, data, split)
    folder = folder_of_evaluation(place, task, data, split)
    ids = [data.subjects[i] for i in outputs["subject"]]
    reserved = reservations_at(place, run.config, data)
    title = titled(f"{data.benchmark.title}, {split} split ({place.folder.name})", reserved)
    numbers: dict[str, Any] = {
        "split": split,
        "warnings": [reservation.sentence for reservation in reserved],
        "n_windows": len(ids),
        "metrics": scores(outputs["probability"], outputs["label"], len(data.spec.classes)),
        "by_subject": subject_scores(outputs["probability"], outputs["label"], ids, data.spec.classes),
    }
    if "attention" in outputs:
        by_head = outputs["attention"].mean(axis=(0, 2))  # head channel
        numbers["attention"] = {
            "channels": list(data.spec.montage.names),
            "by_channel": (by_head / by_head.sum(-1, keepdims=True)).tolist(),
        }
        true = truth(data.benchmark.name, data.spec.montage, sorted(set(ids)))
        if true is not None:
            maps = {"all heads": by_head.mean(axis=0)} | {
                f"head {i}": of_head for i, of_head in enumerate(by_head, 1)
            }
            numbers["attention"]["rank_correlation"] = {
                name: rank_correlation(channels, true) for name, channels in maps.items()
            }
            numbers["attention"]["correlation"] = {
                name: correlation(channels, true) for name, channels in maps.items()
            }
        path = folder / f"attention_{split}.npz"
        names = np.array(outputs["key"])
        path.unlink(missing_ok=True)  # and not what a link there names
        np.savez_compressed(
            path, key=names, label=outputs["label"], attention=outputs["attention"].astype("<f2")
        )
    pictures = {
        name: style.save(figure, folder / "figures" / f"{name}_{split}.png")
        for name, figure in _draw(outputs, numbers, data.spec, title).items()
    }
    write_json(folder / f"explain_{split}.json", json_values(numbers))
    page = folder / f"explain_{split}.html"
    write_text(page, _page(title, numbers, pictures))
    screen = console()
    for sentence in _sentences(numbers):
        screen.print(sentence)
    screen.print(f"page {page}", soft_wrap=True)
    to_wandb(typed or {}, place, {f"explain_{split}/{name}": path for name, path in pictures.items()})
    return page


def to_wandb(typed: Mapping[str, Any], place: Place, pictures: dict[str, Path]) -> None:
    """Log pictures to the W&B run of the run at `place`, if that run was logged to W&B and a person has typed it."""
    folder = place.folder.resolve()
    if not (folder / "wandb").is_dir():
        return
    logger = wandb_of(typed, folder)
    if not logger:
        console().print("for W&B as well, type logger=wandb, and its project as in training", style="dim")
    else:
        send_figures(logger, pictures)


def _outputs(task: Classify, data: Any, split: SplitName) -> dict[str, Any]:
    """By window of a split: key, label, subject, class probabilities, and attention if the backbone has it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.to(device).eval()
    parts: dict[str, list[Any]] = {"label": [], "subject": [], "probability": [], "attention": []}
    keys: list[str] = []
    n_channels = data.spec.n_channels
    with torch.inference_mode():
        for batch in data.split_dataloader(split):
            x, coords = batch.x.to(device), batch.coords.to(device)
            parts["label"].append(batch.label.numpy())
            parts["subject"].append(batch.subject.numpy())
            parts["probability"].append(probabilities(task(x, coords)))
            if isinstance(task.backbone, Attends):
                with suppress(EegfmError):  # a backbone raises it if its pooling weighs all tokens equally
                    attention = task.backbone.attention(task.scaled(x), coords)
                    parts["attention"].append(
                        attention.unflatten(-1, (-1, n_channels)).float().cpu().numpy()
                    )
            keys += batch.key
    return {"key": keys} | {name: np.concatenate(batches) for name, batches in parts.items() if batches}


def _draw(outputs: dict[str, Any], numbers: dict[str, Any], spec: Any, title: str) -> dict[str, Figure]:
    """The figures of the page, by name."""
    label, probability, classes = outputs["label"], outputs["probability"], spec.classes
    drawn = {
        "curves": drawing_classifiers.curves(label, probability, classes, title=title),
        "confusion_matrix": runs.confusion_matrix(label, decide(probability), classes, title=title),
        "by_subject": runs.by_subject(
            numbers["by_subject"],
            "balanced_accuracy",
            n_classes=len(classes),
            overall=numbers["metrics"]["balanced_accuracy"],
            title=title,
        ),
    }
    if "attention" not in outputs:
        return drawn
    by_class = {
        name: outputs["attention"][label == i].mean(axis=0)
        for i, name in enumerate(classes)
        if (label == i).any()
    }
    drawn["attention_over_time"] = drawing_classifiers.attention_over_time(by_class, title=title)
    for i, (name, attention) in enumerate(by_class.items()):
        drawn[f"attention_{i}"] = drawing_classifiers.attention_maps(
            attention, spec.montage, title=f"{title}: {name}"
        )
    return drawn


def _sentences(numbers: dict[str, Any]) -> list[str]:
    """The scores, the reservations, and how attention compares with the true lead field."""
    metrics = ", ".join(
        f"{spoken(name)} {numbers['metrics'][name]:.3f}" for name in in_order(numbers["metrics"])
    )
    sentences = [f"{numbers['n_windows']:,} windows of {len(numbers['by_subject'])} subjects: {metrics}"]
    sentences += numbers["warnings"]
    by_map = numbers.get("attention", {}).get("rank_correlation")
    if by_map:
        linear = numbers["attention"]["correlation"]
        correlations = ", ".join(
            f"{name} ρ {value:.2f}, r {linear[name]:.2f}" for name, value in by_map.items()
        )
        sentences.append(f"attention over channels, correlated with the true lead field: {correlations}")
    return sentences


def _page(title: str, numbers: dict[str, Any], pictures: dict[str, Path]) -> str:
    """One HTML file with its pictures inside."""
    body = [f"<h1>{escape(title)}</h1>", *map(paragraph, _sentences(numbers))]
    rows = [
        [
            subject,
            f"{row['n_windows']:,}",
            *(
                "–" if row.get(m) is None or row[m] != row[m] else f"{row[m]:.3f}"
                for m in in_order(numbers["metrics"])
            ),
        ]
        for subject, row in numbers["by_subject"].items()
    ]
    for name, path in pictures.items():
        body.append(picture(path.read_bytes(), name))
    body.append(table(["subject", "windows", *(spoken(m) for m in in_order(numbers["metrics"]))], rows))
    body.append(
        note("Maps show the head from above, nose up; each map gives its lowest and highest value.")
    )
    return document(title, PLAIN, body)
