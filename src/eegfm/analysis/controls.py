"""Controls of a finished run, `diagnostics=true`: is its score more than chance, and more than who the person is?

- "shuffled": the same model, recipe and seed, fitted once more on training windows whose labels are in another order.
  Validation and test labels are the true ones, so that the choice of the epoch is the same too. It should test at
  chance; what lies above it comes from somewhere else than the labels.
- "shuffled_within_person": the same, but every person's windows keep their count of each class. What is above chance
  here comes from telling persons apart. Left out where it would change nothing, as where a label is a diagnosis.
  Both are one draw. A model of few directions (two spatial filters) can test far from chance on either side by one
  such draw, where what it picks happens to lie along what tells the classes apart: read means over seeds.
- "person_alone": the score of somebody who knows of every test window whose it is, and that person's share of each
  class: as much as telling persons apart could bring. No model is asked.
- "persons_told": how well the test persons are told apart by the features of the trained model (see
  `eegfm.analysis.persons`). It says that the model knows who is who, not that it makes use of it.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from omegaconf import DictConfig
from torch import nn

from eegfm.analysis.persons import person_alone, persons_told
from eegfm.build import Run, build, put_trained
from eegfm.contracts import EegfmError
from eegfm.runs.outputs import write_and_score
from eegfm.runs.place import Place
from eegfm.tasks.features import Features
from eegfm.tasks.metrics import Predictions, monitor_of, refuse_unlabelled, scores
from eegfm.tasks.probe import Probe, stratified, table

log = logging.getLogger(__name__)

AT_MOST = 5000  # test windows of which persons are told, the same part of everybody's
CONTROLS = {"shuffled": False, "shuffled_within_person": True}

Fit = Callable[[Run, Path], Predictions]


def refuse_undiagnosable(run: Any) -> None:
    """Raise EegfmError where a run tells no classes apart."""
    classes = run.data.spec.classes
    refuse_unlabelled(classes, "diagnose")
    if tuple(run.task.monitor) != monitor_of(classes):
        raise EegfmError(
            f"diagnostics=true asks how classes are told apart, and {type(run.task).__name__} tells none. Choose "
            "task=classify, task=probe or task=estimate, or leave it out."
        )


def diagnose(
    config: DictConfig, weights: str | None, folder: Path, fit: Fit
) -> dict[str, dict[str, float]]:
    """The controls of a run by name, each with its numbers; they are no part of the run, whose folder is `folder`.

    `weights` is what its backbone was started from. `fit` fits a run in a folder and gives the predictions of the test
    split. What a control leaves (its metrics by epoch, its predictions) is in `diagnostics/<name>/`.
    """
    found: dict[str, dict[str, float]] = {}
    for name, within_person in CONTROLS.items():
        run = _fresh(config, weights)
        if not run.data.shuffle_labels(within_subject=within_person):
            log.info(
                "Labels cannot be shuffled within a person: nobody has training windows of two classes."
            )
            continue
        log.info("Control: labels shuffled%s.", " within each person" if within_person else "")
        place = folder / "diagnostics" / name
        place.mkdir(parents=True, exist_ok=True)
        run.config["logger"] = {}
        predictions = fit(run, place)
        ids = [run.data.subjects[i] for i in predictions.subject]
        _, found[name], _ = write_and_score(place, "test", predictions, ids, run.data.spec)
        shutil.rmtree(place / "checkpoints", ignore_errors=True)  # nobody should start from these
    run = _fresh(config, weights)
    found |= _of_persons(run, folder)
    return {name: numbers for name, numbers in found.items() if numbers}


def _fresh(config: DictConfig, weights: str | None) -> Run:
    """The run once more, before anything was fitted, with the weights it began with."""
    import lightning.pytorch as lightning

    lightning.seed_everything(config.seed, workers=True, verbose=False)
    run = build(config, weights)
    run.data.prepare_data()
    run.data.setup("fit")
    return run


def _of_persons(run: Run, folder: Path) -> dict[str, dict[str, float]]:
    task, data = run.task, run.data
    put_trained(task, Place.of(folder))
    data.setup("test")
    rows = data.dataset("test")
    subject, label = rows.subject[rows.rows], rows.labels
    alone = person_alone(label, subject, len(data.spec.classes))
    found = {"person_alone": scores(alone, label, len(data.spec.classes))}
    part = stratified(subject, AT_MOST, run.config["seed"])
    x = _features(task, rows, part, data)
    if x is not None:
        index = rows.store.index
        _, recording = np.unique(index.recording[rows.rows], return_inverse=True)
        order = np.lexsort((index.onset_s[rows.rows], recording))
        when = np.argsort(order)
        found["persons_told"] = persons_told(x, subject[part], when[part], run.config["seed"])
    return found


def _features(
    task: Any, rows: Any, part: Int[np.ndarray, " window"], data: Any
) -> Float[np.ndarray, "window feature"] | None:
    """What the model makes of windows, before it decides: a table, or None of a model without features."""
    backbone = task.backbone
    if not isinstance(backbone, nn.Module):
        if not hasattr(backbone, "features"):
            return None
        return backbone.features(rows.store.read(rows.rows[part]).astype(np.float32))
    features = (
        task.features if isinstance(task, Probe) else Features(backbone, layer=None, scale=task.scale)
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.to(device)
    return table(features, rows, part, data.batch_size, device)
