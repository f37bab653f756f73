"""The function of `eegfm predict`: a trained model's class probabilities along anybody's recordings."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.table import Column, Table

from eegfm.commands.work.applied import Applied, applied
from eegfm.commands.work.own_folder import Folder
from eegfm.commands.work.recordings import each, end_with_failures, recordings_of
from eegfm.contracts import EegfmError
from eegfm.runs.corpora_seen import reservations_elsewhere
from eegfm.runs.place import Place
from eegfm.runs.reservations import titled
from eegfm.support.files import cell, sha256_of, whole
from eegfm.support.words import console
from eegfm.tasks.recording import HOW, By, PredictedRecording

ABOUT, TABLE, PEOPLE = "predict.json", "recordings.csv", "persons.csv"
SHOWN = 40  # recordings on the screen


def predict(config: DictConfig) -> None:
    """Predict every recording, write the tables, and show the decisions.

    Raises:
        EegfmError: values that cannot work, before anything is written.
        SystemExit: with 1, at the end, if a recording could not be predicted.
    """
    if OmegaConf.is_missing(config, "files"):
        raise EegfmError("Name the recordings: files=<file.edf>, or files='<folder>/*.edf'")
    if config.decide not in get_args(By):
        raise EegfmError(f"decide={config.decide}: one of these is wanted: {', '.join(get_args(By))}.")
    recordings = recordings_of(config.files)
    place = Place.of(config.run, config.trust)
    model = applied(place, config)
    spec = model.run.data.spec
    if not model.on.classifies:
        raise EegfmError(
            f"{place} tells no classes apart: it is a run of {type(model.run.task).__name__}. eegfm embed gives its "
            "vectors, eegfm stream its reconstruction."
        )
    cuts = _cuts(place, config.decide)
    model.intake.hop_of(config.hop_s)  # a wrong one is refused before anything is written
    made_from = {
        "weights": sha256_of(model.weights),
        "steps": str(config.steps),
        "hop_s": config.hop_s,
        "decide": config.decide,
        "files": {name: str(path) for name, path in recordings.items()},
    }
    out = None if config.out is None else Path(str(config.out))
    folder = Folder(place.beside / "predict", out, ABOUT, made_from)
    table = folder.path / TABLE
    table.unlink(missing_ok=True)  # written last: it says that the other files are complete
    known = reservations_elsewhere(place)
    hop_s = model.intake.window_s if config.hop_s is None else config.hop_s
    folder.say(
        {
            "warnings": [one.sentence for one in known],
            "run": place.folder.name,
            "classes": list(spec.classes),
            "decided_by": HOW[config.decide],
            "window_s": model.intake.window_s,
            "hop_s": hop_s,
            "steps": [repr(step) for step in model.intake.steps],
            "trained_on_windows": "end to end" if model.end_to_end else "as its protocol chose them",
        }
    )
    screen = console()
    screen.rule(titled(f"{model.run.data.benchmark.title}: {place.folder.name}", known), style="dim")
    for one in known:
        screen.print(f"{one}.", style="yellow", soft_wrap=True)
    screen.print(_said(model, hop_s), soft_wrap=True)

    def work(name: str, path: Path, done: Callable[[float], None]) -> PredictedRecording:
        targets = {
            kind: folder.file(kind, name, suffix)
            for kind, suffix in (
                ("windows", ".csv"),
                ("annotations", "-annot.fif"),
                ("events", "_events.tsv"),
            )
            if kind == "windows" or config.annotate
        }
        found = replace(predicted(model, name, path, config.hop_s, done), cut=cuts["recording"])
        _write_windows(targets["windows"], found)
        if config.annotate:
            _annotate(targets, found)
        return found

    outcomes = dict(each(recordings, work, "Predicting"))
    people = {}
    if place.result is not None and "person" in place.result.wholes:  # else a label is not a person's
        people = _people(outcomes, {name: model.declared.person(path) for name, path in recordings.items()})
        people = {name: (n, replace(one, cut=cuts["person"])) for name, (n, one) in people.items()}
    (folder.path / PEOPLE).unlink(missing_ok=True)
    if people:
        _write_people(folder.path / PEOPLE, people, spec.classes, config.decide)
    _write_recordings(table, outcomes, recordings, spec.classes, config.decide)
    _show(outcomes, config.decide)
    _show_people(people, config.decide)
    kinds = [
        *([PEOPLE] if people else []),
        "windows/",
        *(["annotations/", "events/"] if config.annotate else []),
    ]
    screen.print(f"{folder.path}: {', '.join([TABLE, *kinds, ABOUT])}", soft_wrap=True)
    end_with_failures(screen, outcomes, "could not be predicted", TABLE)


def _cuts(place: Place, by: str) -> dict[str, float | None]:
    """The cuts that the run has fitted on its validation data, for a recording and for a person; None: not wanted.

    Raises EegfmError if they are wanted and the run has none.
    """
    wholes = {} if place.result is None else place.result.wholes
    cuts = {kind: of["rule"]["cut"] for kind, of in wholes.items() if by == "fitted" and "rule" in of}
    if by == "fitted" and not cuts:
        raise EegfmError(
            f"decide=fitted: {place} has fitted no cut for persons or recordings. It does so for two classes where a "
            "label is theirs and both classes are in the validation split. Type decide=mean"
        )
    known = next(iter(cuts.values()), None)
    return {kind: cuts.get(kind, known) for kind in ("person", "recording")}


def predicted(
    model: Applied, name: str, path: Path, hop_s: float | None, done: Callable[[float], None]
) -> PredictedRecording:
    """The probabilities of a recording's windows."""
    windows = model.intake.windows(model.declared.opened(path), hop_s)
    classes = model.run.data.spec.classes
    return PredictedRecording.of(name, classes, windows, model.on.probabilities, done)


def _people(
    outcomes: Mapping[str, PredictedRecording | str], people: Mapping[str, str]
) -> dict[str, tuple[int, PredictedRecording]]:
    """The recordings of each person as one, with how many they are; nobody where no person has several."""
    theirs: dict[str, list[PredictedRecording]] = {}
    for name, one in outcomes.items():
        if isinstance(one, PredictedRecording) and people[name]:
            theirs.setdefault(people[name], []).append(one)
    if all(len(recordings) == 1 for recordings in theirs.values()):
        return {}
    return {
        person: (
            len(recordings),
            replace(
                recordings[0],
                recording=person,
                second=np.concatenate([one.second for one in recordings]),
                probability=np.concatenate([one.probability for one in recordings]),
            ),
        )
        for person, recordings in sorted(theirs.items())
    }


def _write_people(
    path: Path, people: Mapping[str, tuple[int, PredictedRecording]], classes: tuple[str, ...], by: By
) -> None:
    """One row a person, whose windows decide together."""
    head = ["person", "recordings", "windows", "decision", "decided_by", *_numbers(classes)]
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(cell, head))
        for person, (n, one) in people.items():
            row = [n, len(one.second), one.decision(by), HOW[by], *map(repr, one.mean.tolist())]
            writer.writerow(map(cell, [person, *row, *one.votes.tolist()]))


def _show_people(people: Mapping[str, tuple[int, PredictedRecording]], by: By) -> None:
    if not people:
        return
    table = Table(
        Column("person", overflow="fold"), "recordings", "windows", "decision", "mean p", "of windows"
    )
    for person, (count, one) in [*people.items()][:SHOWN]:
        table.add_row(person, f"{count:,}", *_decided(one, by))
    screen = console()
    screen.print(table)
    screen.print("whose a recording is: as the paths of the run's own data set say it")
    if len(people) > SHOWN:
        screen.print(f"and {len(people) - SHOWN} more")


def _decided(one: PredictedRecording, by: By) -> tuple[str, str, str, str]:
    """Cells: windows, the decision, its mean probability, its share of the windows."""
    decision, n = one.decision(by), len(one.second)
    i = one.classes.index(decision)
    return f"{n:,}", decision, f"{one.mean[i]:.3f}", f"{one.votes[i] / n:.0%}"


def _numbers(classes: tuple[str, ...]) -> list[str]:
    return [f"mean p({name})" for name in classes] + [f"windows of {name}" for name in classes]


def _said(model: Applied, hop_s: float) -> str:
    steps = ", ".join(type(step).__name__ for step in model.intake.steps) or "none"
    trained = "" if model.end_to_end else "; the run was trained on windows as its protocol chose them"
    return f"windows of {model.intake.window_s:g} s, one every {hop_s:g} s{trained}; steps: {steps}"


def _write_windows(path: Path, found: PredictedRecording) -> None:
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            map(cell, ["window", "second", *(f"p({name})" for name in found.classes), "decision"])
        )
        for i, (second, row, name) in enumerate(
            zip(found.second.tolist(), found.probability.tolist(), found.decisions, strict=True)
        ):
            writer.writerow(map(cell, [i, repr(second), *map(repr, row), name]))


def _annotate(targets: Mapping[str, Path], found: PredictedRecording) -> None:
    """Write the stretches of one decision for `raw.set_annotations(mne.read_annotations(...))`, and as BIDS' events."""
    import mne

    notes = found.notes()
    onset, duration, description = zip(*notes, strict=True)
    mne.Annotations(onset, duration, description).save(targets["annotations"], verbose="error")
    with whole(targets["events"]) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(["onset", "duration", "trial_type"])
        for onset_s, length_s, name in notes:
            writer.writerow(map(cell, [repr(round(onset_s, 6)), repr(round(length_s, 6)), name]))


def _write_recordings(
    path: Path,
    outcomes: Mapping[str, PredictedRecording | str],
    files: Mapping[str, Path],
    classes: tuple[str, ...],
    by: By,
) -> None:
    """One row a recording: its decision, how that was made, and what both ways of making one rest on; or why not."""
    numbers = _numbers(classes)
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ["recording", "windows", "decision", "decided_by", *numbers, "remarks", "failed", "file"]
        writer.writerow(map(cell, head))
        for name, one in outcomes.items():
            if isinstance(one, str):
                row: list[Any] = ["", "", "", *[""] * len(numbers), "", one]
            else:
                row = [len(one.second), one.decision(by), HOW[by], *map(repr, one.mean.tolist())]
                row += [*one.votes.tolist(), "; ".join(one.doubts), ""]
            writer.writerow(map(cell, [name, *row, str(files[name])]))


def _show(outcomes: Mapping[str, PredictedRecording | str], by: By) -> None:
    screen = console()
    # of two recordings the ends of the names differ
    recording = Column("recording", overflow="fold")
    table = Table(recording, "windows", "decision", "mean p", "of windows", "remarks")
    for name, one in [*outcomes.items()][:SHOWN]:
        if isinstance(one, str):
            table.add_row(name, "–", "–", "–", "–", f"failed: {one}")
            continue
        table.add_row(name, *_decided(one, by), "; ".join(one.doubts))
    screen.print(table)
    screen.print(f"decision: {HOW[by]}")
    if len(outcomes) > SHOWN:
        screen.print(f"and {len(outcomes) - SHOWN} more")
