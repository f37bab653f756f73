"""Controls of a finished run, `diagnostics=true`: does its score exceed chance, and what the person alone gives away?

- "shuffled": the same model, recipe and seed, fitted again on windows with shuffled labels, those of validation too, so
  that nothing is chosen by true ones. Test labels stay true. The test score should be at chance; a higher score does
  not come from the labels.
- "shuffled_within_person": the same, but the windows of every person keep their count of each class. A score above
  chance comes from telling persons apart. This control is left out if it would change nothing, for example if the
  label is a diagnosis.
  Both controls are 20 random draws, with mean and deviation. A model with few directions (two spatial filters) can test
  far from chance in one draw, if its direction happens to agree with the one that tells the classes apart: one draw
  has a deviation of 0.09.
- "person_alone": the score of somebody who knows the person of every test window, and the share of each class among
  that person's windows. Telling persons apart cannot give a better score. This control uses no model.
- "persons_told": how well the features of the trained model tell the test persons apart (see
  `eegfm.analysis.persons`). It shows that the model can know the person, not that it uses this knowledge. Where every
  person has one recording, recordings are told, and "drift" says how well pieces of one recording are told apart.
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

from eegfm.analysis.persons import drift_told, person_alone, persons_told
from eegfm.build import Run, build, put_trained
from eegfm.contracts import EegfmError
from eegfm.runs.outputs import write_and_score
from eegfm.runs.place import Place
from eegfm.runs.predictions import read_predictions
from eegfm.tasks.features import Features
from eegfm.tasks.metrics import Predictions, monitor_of, refuse_unlabelled, scores
from eegfm.tasks.probe import Probe, stratified, table

log = logging.getLogger(__name__)

DRAWS = 20  # of shuffled labels
AT_MOST = 5000  # test windows for "persons_told", the same share of every person's
CONTROLS = {"shuffled": False, "shuffled_within_person": True}  # whether labels stay within the person

Fit = Callable[[Run, Path], Predictions]


def refuse_undiagnosable(run: Any) -> None:
    """Raise EegfmError if the run does not tell classes apart."""
    classes = run.data.spec.classes
    refuse_unlabelled(classes, "diagnose")
    if tuple(run.task.monitor) != monitor_of(classes):
        raise EegfmError(
            f"diagnostics=true needs a task that tells classes apart, and {type(run.task).__name__} does not. Choose "
            "task=classify, task=probe or task=estimate, or leave out diagnostics=true."
        )


def diagnose(
    config: DictConfig, weights: str | None, folder: Path, fit: Fit
) -> dict[str, dict[str, float]]:
    """Run the controls of the finished run in `folder`; returns their numbers, by name of the control.

    `weights` are the weights from which its backbone started. `fit` fits a run in a folder and returns the predictions
    of the test split. The files of a control's draws (metrics by epoch, predictions) are in
    `diagnostics/<name>/<draw>/`, where a second call finds those that are finished.
    """
    numbers: dict[str, dict[str, float]] = {}
    for name, within_person in CONTROLS.items():
        found = []
        for draw in range(DRAWS):
            log.info(
                "Control %d of %d: labels shuffled%s.",
                draw + 1,
                DRAWS,
                " within each person" * within_person,
            )
            one = _shuffled(
                config, weights, folder / "diagnostics" / name / f"{draw:02d}", fit, within_person, draw
            )
            if one is None:
                log.info(
                    "Labels cannot be shuffled within a person: no person has training windows of two classes."
                )
                break
            found.append(one)
        if found:
            numbers[name] = {metric: float(np.mean([one[metric] for one in found])) for metric in found[0]}
            numbers[name] |= {
                f"{metric}_deviation": float(np.std([one[metric] for one in found], ddof=1))
                for metric in found[0]
            }
            numbers[name]["draws"] = float(len(found))
    run = _fresh(config, weights)
    numbers |= _person_controls(run, folder)
    return {name: of_control for name, of_control in numbers.items() if of_control}


def _shuffled(
    config: DictConfig, weights: str | None, place: Path, fit: Fit, within_person: bool, draw: int
) -> dict[str, float] | None:
    """The test scores of a fit on shuffled labels; None if they have no other order."""
    finished = place / "predictions_test.csv"
    if finished.is_file():
        table = read_predictions(finished)
        return scores(table.probabilities, table.labels, len(table.classes))
    run = _fresh(config, weights)
    (corpus,) = run.data.corpora.values()  # only a corpus that is alone has labels
    if not corpus.shuffle_labels(within_subject=within_person, draw=draw):
        return None
    place.mkdir(parents=True, exist_ok=True)
    run.config["logger"] = {}
    predictions = fit(run, place)
    ids = [run.data.subjects[i] for i in predictions.subject]
    _, found, _ = write_and_score(place, "test", predictions, ids, run.data.spec)
    # nobody should start a run from these weights
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return found


def _fresh(config: DictConfig, weights: str | None) -> Run:
    """The run built again as it was before its fit, with the weights from which it started."""
    import lightning.pytorch as lightning

    lightning.seed_everything(config.seed, workers=True, verbose=False)
    run = build(config, weights)
    run.data.prepare_data()
    run.data.setup("fit")
    return run


def _person_controls(run: Run, folder: Path) -> dict[str, dict[str, float]]:
    """ "person_alone" and, if the model has features, "persons_told"."""
    task, data = run.task, run.data
    put_trained(task, Place.of(folder))
    data.setup("test")
    (corpus,) = data.corpora.values()
    rows = corpus.dataset("test")
    subject, label = rows.subject[rows.rows], rows.labels
    alone = person_alone(label, subject, len(data.spec.classes))
    numbers = {"person_alone": scores(alone, label, len(data.spec.classes))}
    part = stratified(subject, AT_MOST, run.config["seed"])
    x = _features(task, rows, part, data)
    if x is not None:
        index = rows.store.index
        _, recording = np.unique(index.recording[rows.rows], return_inverse=True)
        order = np.lexsort((index.onset_s[rows.rows], recording))
        when = np.argsort(order)
        told = persons_told(x, subject[part], when[part], run.config["seed"])
        each = [len(np.unique(recording[subject == name])) for name in np.unique(subject)]
        if told and max(each) == 1:
            told |= {"recordings_each": 1.0, **drift_told(x, subject[part], when[part], run.config["seed"])}
        numbers["persons_told"] = told
    return numbers


def _features(
    task: Any, rows: Any, part: Int[np.ndarray, " window"], data: Any
) -> Float[np.ndarray, "window feature"] | None:
    """The features on which the model decides, for a part of the windows; None for a model without features."""
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
