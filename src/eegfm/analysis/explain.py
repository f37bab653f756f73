"""What a trained classifier says, and where it looks: curves and maps of a split, and one page with all of them.

Where a backbone pools by attention (`contracts.Attends`), its attention is kept window by window and averaged by class.
On data whose sources are known the attention over channels is held against the true lead field, as the maps of
`eegfm.analysis.maps` are; that says nothing of the encoder, whose tokens are of one channel each.
"""

from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from rich.console import Console

from eegfm.analysis.maps import correlation, rank_correlation, truth
from eegfm.benchmarks.spec import SplitName
from eegfm.build import build, put_trained
from eegfm.contracts import Attends, EegfmError
from eegfm.drawing import classifiers as drawing_classifiers
from eegfm.drawing import runs, style
from eegfm.drawing.html import PLAIN, document, note, paragraph, picture, table
from eegfm.files import write_json
from eegfm.runs.outputs import subject_scores
from eegfm.runs.place import Place
from eegfm.runs.reservations import titled
from eegfm.runs.results import json_values
from eegfm.runs.seen import reservations_at
from eegfm.runs.wandb import send_figures, wandb_of
from eegfm.tasks.classify import Classify
from eegfm.tasks.decision import decide
from eegfm.tasks.metric_names import spoken
from eegfm.tasks.metrics import probabilities, scores


def explain(config: DictConfig, place: Place, split: SplitName) -> Path:
    """Write `explain_<split>.html`, its numbers as JSON and, of attention, `attention_<split>.npz`; returns the page.

    `config` is the run's own, `place` its folder or a checkpoint in it, beside which the files are written. The file of
    attention holds "key" by window, "label", and "attention" [window, head, second, channel] in float16. Where the run
    was logged to W&B, the figures go to the same W&B run, as `explain_<split>/<figure>`.

    Raises:
        EegfmError: a run that is not a trained classifier.
    """
    run = build(config, None)
    data, task = run.data, run.task
    if not isinstance(task, Classify):
        raise EegfmError(
            f"explain=true is of classifiers that were trained, and this run is {type(task).__name__}. Choose a run of "
            "task=classify; of others eegfm evaluate run=<run> gives scores."
        )
    data.prepare_data()
    data.setup("test" if split == "test" else "fit")
    put_trained(task, place)
    seen = _look(task, data, split)
    folder = place.beside
    ids = [data.subjects[i] for i in seen["subject"]]
    known = reservations_at(place, run.config, data)
    title = titled(f"{data.benchmark.title}, {split} split ({place.folder.name})", known)
    numbers: dict[str, Any] = {
        "split": split,
        "warnings": [one.sentence for one in known],
        "n_windows": len(ids),
        "metrics": scores(seen["probability"], seen["label"], len(data.spec.classes)),
        "by_subject": subject_scores(seen["probability"], seen["label"], ids, data.spec.classes),
    }
    if "attention" in seen:
        by_head = seen["attention"].mean(axis=(0, 2))  # head channel
        numbers["attention"] = {
            "channels": list(data.spec.montage.names),
            "by_channel": (by_head / by_head.sum(-1, keepdims=True)).tolist(),
        }
        true = truth(data.benchmark.name, data.spec.montage, sorted(set(ids)))
        if true is not None:
            maps = {"all heads": by_head.mean(axis=0)} | {
                f"head {i}": one for i, one in enumerate(by_head, 1)
            }
            numbers["attention"]["rank_correlation"] = {
                name: rank_correlation(one, true) for name, one in maps.items()
            }
            numbers["attention"]["correlation"] = {
                name: correlation(one, true) for name, one in maps.items()
            }
        path = folder / f"attention_{split}.npz"
        names = np.array(seen["key"])
        np.savez_compressed(path, key=names, label=seen["label"], attention=seen["attention"].astype("<f2"))
    pictures = {
        name: style.save(figure, folder / "figures" / f"{name}_{split}.png")
        for name, figure in _draw(seen, numbers, data.spec, title).items()
    }
    write_json(folder / f"explain_{split}.json", json_values(numbers))
    page = folder / f"explain_{split}.html"
    page.write_text(_page(title, numbers, pictures), encoding="utf-8")
    console = Console(highlight=False)
    for sentence in _sentences(numbers):
        console.print(sentence)
    console.print(f"page {page}", soft_wrap=True)
    to_wandb(config, place, {f"explain_{split}/{name}": path for name, path in pictures.items()})
    return page


def to_wandb(config: DictConfig, place: Place, pictures: dict[str, Path]) -> None:
    """Log pictures to the W&B run of a run's folder, or of a checkpoint's, where the run itself was logged there."""
    folder = place.folder.resolve()
    logger = wandb_of(config, folder) if (folder / "wandb").is_dir() else False
    if logger:
        send_figures(logger, pictures)


def _look(task: Classify, data: Any, split: SplitName) -> dict[str, Any]:
    """Of every window of a split: its key, label, subject, probabilities, and attention where the backbone has it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.to(device).eval()
    found: dict[str, list[Any]] = {"label": [], "subject": [], "probability": [], "attention": []}
    keys: list[str] = []
    n_channels = data.spec.n_channels
    with torch.inference_mode():
        for batch in data.split_dataloader(split):
            x, coords = batch.x.to(device), batch.coords.to(device)
            found["label"].append(batch.label.numpy())
            found["subject"].append(batch.subject.numpy())
            found["probability"].append(probabilities(task(x, coords)))
            if isinstance(task.backbone, Attends):
                with suppress(EegfmError):  # a pooling that takes evenly from all says so
                    taken = task.backbone.attention(task.scaled(x), coords)
                    found["attention"].append(taken.unflatten(-1, (-1, n_channels)).float().cpu().numpy())
            keys += batch.key
    return {"key": keys} | {name: np.concatenate(parts) for name, parts in found.items() if parts}


def _draw(seen: dict[str, Any], numbers: dict[str, Any], spec: Any, title: str) -> dict[str, Figure]:
    label, probability, classes = seen["label"], seen["probability"], spec.classes
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
    if "attention" not in seen:
        return drawn
    by_class = {
        name: seen["attention"][label == i].mean(axis=0)
        for i, name in enumerate(classes)
        if (label == i).any()
    }
    drawn["attention_over_time"] = drawing_classifiers.attention_over_time(by_class, title=title)
    for i, (name, one) in enumerate(by_class.items()):
        drawn[f"attention_{i}"] = drawing_classifiers.attention_maps(
            one, spec.montage, title=f"{title}: {name}"
        )
    return drawn


def _sentences(numbers: dict[str, Any]) -> list[str]:
    metrics = ", ".join(f"{spoken(name)} {value:.3f}" for name, value in numbers["metrics"].items())
    found = [f"{numbers['n_windows']:,} windows of {len(numbers['by_subject'])} subjects: {metrics}"]
    found += numbers["warnings"]
    judged = numbers.get("attention", {}).get("rank_correlation")
    if judged:
        linear = numbers["attention"]["correlation"]
        said = ", ".join(f"{name} ρ {value:.2f}, r {linear[name]:.2f}" for name, value in judged.items())
        found.append(f"attention over channels against the true lead field: {said}")
    return found


def _page(title: str, numbers: dict[str, Any], pictures: dict[str, Path]) -> str:
    """One file that needs nothing else: pictures are inside it."""
    body = [f"<h1>{escape(title)}</h1>", *map(paragraph, _sentences(numbers))]
    rows = [
        [
            subject,
            f"{row['n_windows']:,}",
            *(
                "–" if row.get(m) is None or row[m] != row[m] else f"{row[m]:.3f}"
                for m in numbers["metrics"]
            ),
        ]
        for subject, row in numbers["by_subject"].items()
    ]
    for name, path in pictures.items():
        body.append(picture(path.read_bytes(), name))
    body.append(table(["subject", "windows", *(spoken(m) for m in numbers["metrics"])], rows))
    body.append(note("Maps are seen from above, nose up, each with its lowest and highest value."))
    return document(title, PLAIN, body)
