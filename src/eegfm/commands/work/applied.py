"""The model of a run for anybody's recordings: its trained task, and how its windows are made."""

from dataclasses import dataclass
from typing import Any

import torch

from eegfm.build import Run, trained
from eegfm.contracts import EegfmError, MapsPlaces
from eegfm.data.mix import Mix
from eegfm.runs.place import Place
from eegfm.runs.results import read_result
from eegfm.signal.declared import Declared
from eegfm.signal.intake import Intake
from eegfm.tasks.fitted import FILE, FitsInOneGo
from eegfm.tasks.on_windows import OnWindows


@dataclass(frozen=True)
class Applied:
    """A run's model on windows (`on`), what it takes of a recording, and its weights' file."""

    run: Run
    on: OnWindows
    intake: Intake
    declared: Declared  # of the recordings
    weights: Any
    end_to_end: bool  # whether the windows of the training lay end to end


def applied(place: Place, config: Any) -> Applied:
    """The model of a finished run or of one of its checkpoints, for `config.steps` on `config.device`.

    Raises EegfmError if there is no trained model, its encoder is not here, or its steps cannot be told.
    """
    own = place.config
    if place.is_run:
        read_result(place.folder)  # refuses a run that has not ended: its weights will change
    own.paths = config.paths
    run = trained(own, place)
    _refuse_another_encoder(run, place)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    on = OnWindows(run.task, run.data.encoder, auto if config.device == "auto" else config.device)
    weights = place.folder / FILE if isinstance(run.task, FitsInOneGo) else place.checkpoint
    parts = run.data.corpora.values()
    end_to_end = all(part.benchmark.one_label or part.preparation.other_s is not None for part in parts)
    steps = str(config.steps)
    return Applied(run, on, intake_of(run, steps), declared_of(run, steps), weights, end_to_end)


def _refuse_another_encoder(run: Run, place: Place) -> None:
    """Raise EegfmError if this machine's encoder would make other vectors than those that the run was trained on."""
    if run.data.encoder is None or place.result is None:
        return
    known = place.result.benchmark.fingerprint
    here = "+".join(part.recipe.fingerprint for part in run.data.corpora.values())
    if here != known:
        raise EegfmError(
            f"{place} was trained on the store {known}, and the encoder {run.data.encoder.name} that is here would "
            f"make {here}: it has other weights or other settings. Put the run's weights under EEGFM_WEIGHTS."
        )


def declared_of(run: Run, steps: str) -> Declared:
    """What the run's data set says of its files; of a mix, the corpus that `steps` names, and else nothing."""
    parts = run.data.corpora
    one = next(iter(parts.values())) if len(parts) == 1 else parts.get(steps)
    return Declared() if one is None else one.benchmark.declared


def intake_of(run: Run, steps: str) -> Intake:
    """What the model of a run takes of a recording. `steps`: run, none, or a corpus of a mix, for that one's.

    Raises EegfmError if `steps` is none of them, or the run is of several corpora and none is named.
    """
    data, spec = run.data, run.data.spec
    any_montage = isinstance(run.task.backbone, MapsPlaces)
    corpora = {name or "run": part for name, part in data.corpora.items()}
    if steps == "none":
        n_times = min(part.benchmark.n_times for part in corpora.values())
        return Intake(spec.montage.names, (), spec.sfreq, n_times, any_montage=any_montage)
    if steps not in corpora:
        choices = ", ".join([*corpora, "none"])
        why = "the run's corpora have steps of their own" if steps == "run" else "there are no such steps"
        raise EegfmError(f"steps={steps}: {why}. One of these is wanted: {choices}.")
    part = corpora[steps]
    rows = data.channels.rows[steps].tolist() if isinstance(data, Mix) else None
    benchmark = part.benchmark
    return Intake(
        benchmark.channels,
        tuple(benchmark.steps if part.steps is None else part.steps),
        benchmark.sfreq,
        benchmark.n_times,
        rows,
        any_montage,
    )
