"""Map the windows of a run in three spaces: raw, by random weights, by its own weights; a picture and numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything
from omegaconf import DictConfig
from rich.table import Table
from torch import nn

from eegfm.analysis.nearness import flat, nearness
from eegfm.benchmarks.spec import SplitName
from eegfm.build import put_trained, untrained
from eegfm.contracts import EegfmError
from eegfm.drawing.embeddings import embedding_map
from eegfm.drawing.style import save
from eegfm.nn.scaling import fit_unit, size_of, unit_of
from eegfm.runs.corpora_seen import reservations_at
from eegfm.runs.evaluations import folder_of_evaluation
from eegfm.runs.place import Place
from eegfm.runs.reservations import titled
from eegfm.support.files import write_json
from eegfm.support.process import environment
from eegfm.support.words import console
from eegfm.tasks.classify import FitsInput
from eegfm.tasks.features import Features
from eegfm.tasks.metrics import refuse_unlabelled
from eegfm.tasks.probe import Probe, stratified, table
from eegfm.tasks.reconstruct import Reconstruct

AT_MOST = 500  # windows


def draw(config: DictConfig, place: Place, split: SplitName) -> Path:
    """Write `embedding_map_<split>.json` and its picture in a folder of their own; returns its path.

    `config` is the run's own, `place` its folder or a checkpoint in it. The run's seed draws windows of the split, the
    same share of every class. The features are those that the run uses: the statistics of a layer for a probe, else
    the backbone's embedding.

    Raises:
        EegfmError: the data have no labels, the model is not a network, or there are too few windows.
    """
    # only workers read these variables, and there are none
    with environment(PL_GLOBAL_SEED=None, PL_SEED_WORKERS=None):
        seed_everything(config.seed, verbose=False)
    run = untrained(config, place)
    data, classes = run.data, run.data.spec.classes
    refuse_unlabelled(classes, "draw an embedding map")
    features = _features(run.task)
    (corpus,) = data.corpora.values()  # only a corpus that is alone has labels
    data.prepare_data()
    data.setup("fit")
    fit_unit(features.backbone, corpus.train_inputs())
    if isinstance(features.backbone, FitsInput):
        # statistics belong to the data, not to the weights: a backbone with random weights gets them too
        scale = unit_of(features.scale, features.backbone)
        features.backbone.fit_input(x / size_of(x, scale) for x in corpus.train_inputs())
    if split == "test":
        data.setup("test")
    rows = corpus.dataset(split)
    part = stratified(rows.labels, AT_MOST, config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    features.backbone.to(device)

    spaces = {"raw windows": rows.__getitems__(part.tolist()).x.flatten(1).numpy()}
    spaces["random weights"] = table(features, rows, part, data.batch_size, device)
    put_trained(run.task, place)
    spaces["this run"] = table(features, rows, part, data.batch_size, device)

    label, subject = rows.labels[part], rows.subject[rows.rows][part]
    numbers = {name: nearness(x, label, subject) for name, x in spaces.items()}
    n_subjects = len(np.unique(subject))
    folder = folder_of_evaluation(place, run.task, data, split)
    reserved = reservations_at(place, run.config, data)
    title = f"{data.benchmark.title}, {split} split: {len(part)} windows of {n_subjects} subjects"
    title = titled(title, reserved)
    figure = embedding_map(
        {name: flat(x, config.seed) for name, x in spaces.items()},
        numbers,
        label,
        subject,
        classes=classes,
        subjects=data.subjects,
        title=title,
    )
    picture = save(figure, folder / "figures" / f"embedding_map_{split}.png")
    facts: dict[str, Any] = {
        "split": split,
        "warnings": [reservation.sentence for reservation in reserved],
        "seed": config.seed,
        "n_windows": len(part),
        "classes": list(classes),
        "subjects": [data.subjects[i] for i in np.unique(subject)],
        "class_told_by": "windows of other subjects" if n_subjects > 1 else "other windows",
        "subject_told_by": "other windows",
        "n_features": {name: x.shape[1] for name, x in spaces.items()},
        "spaces": numbers,
    }
    path = folder / f"embedding_map_{split}.json"
    write_json(path, facts)
    _show(title, facts, path, picture)
    return path


def _features(task: Any) -> Features:
    """The module that turns windows into the features of a task."""
    if isinstance(task, Probe):
        return task.features
    if not isinstance(task.backbone, nn.Module):
        raise EegfmError(
            f"{type(task.backbone).__name__} is not a network: it has no features for a map. Choose a run of "
            "task=probe or task=classify."
        )
    layer = task.observe.layer if isinstance(task, Reconstruct) else None
    return Features(task.backbone, layer=layer, scale=task.scale)


def _show(title: str, facts: dict[str, Any], path: Path, picture: Path) -> None:
    screen, numbers = console(), facts["spaces"]
    screen.rule(title, style="dim")
    for sentence in facts["warnings"]:
        screen.print(f"{sentence}.", style="yellow")
    shown = Table("", "class: silhouette", "5 nearest", "subject: silhouette", "5 nearest")
    for name, space in numbers.items():
        cells = [
            space[what][key] for what in ("class", "subject") for key in ("silhouette", "balanced_accuracy")
        ]
        shown.add_row(name, *("–" if value is None else f"{value:z.3f}" for value in cells))
    chance = [numbers["raw windows"][what]["chance"] for what in ("class", "subject")]
    shown.add_row(
        "chance", *(text for value in chance for text in ("", "–" if value is None else f"{value:.3f}"))
    )
    screen.print(shown)
    screen.print(
        f"5 nearest: balanced accuracy of the vote of the 5 nearest windows; for the class among "
        f"{facts['class_told_by']}"
    )
    screen.print(f"numbers {path}", soft_wrap=True)
    screen.print(f"picture {picture}", soft_wrap=True)
