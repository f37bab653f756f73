"""The function of `eegfm embed`: a vector for each window of anybody's recordings."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from omegaconf import DictConfig

from eegfm.build import build
from eegfm.commands.work.applied import Applied, applied, declared_of, intake_of
from eegfm.commands.work.own_folder import Folder
from eegfm.commands.work.recordings import each, end_with_failures, recordings_of
from eegfm.config.identity import plain, run_identity
from eegfm.contracts import EegfmError
from eegfm.runs.corpora_seen import reservations_elsewhere
from eegfm.runs.place import Place
from eegfm.runs.reservations import Reservation, titled
from eegfm.support.files import cell, sha256_of, whole
from eegfm.support.words import console
from eegfm.tasks.on_windows import Of, OnWindows
from eegfm.tasks.recording import BATCH

ABOUT, TABLE = "embed.json", "recordings.csv"
STRANGERS = Reservation(
    "UNKNOWN PEOPLE", "UNKNOWN PEOPLE: published weights do not say whom they were trained on"
)


def embed(config: DictConfig) -> None:
    """Embed every recording, write the vectors, and show how many.

    Raises:
        EegfmError: values that cannot work, before anything is written.
        SystemExit: with 1, at the end, if a recording could not be embedded.
    """
    recordings = recordings_of(config.files)
    of = _of(config)
    if config.run is not None:
        place = Place.of(config.run, config.trust)
        model, known, parent = applied(place, config), reservations_elsewhere(place), place.beside
        name, made_by = place.folder.name, {"weights": sha256_of(model.weights)}
    else:
        model, parent = _published(config), Path(config.paths.runs)
        known = [STRANGERS] if config.weights is not None else []
        name, made_by = _named(config, of), _identity(model, config, of)
    if of == "encoder" and model.run.data.encoder is None:
        raise EegfmError("of=encoder: this model reads raw windows and has no encoder. Leave it out.")
    model.intake.hop_of(config.hop_s)
    files = {key: str(path) for key, path in recordings.items()}
    made_from = {**made_by, "of": of, "steps": str(config.steps), "hop_s": config.hop_s, "files": files}
    out = None if config.out is None else Path(str(config.out))
    folder = Folder(parent / "embed", out, ABOUT, made_from)
    table = folder.path / TABLE
    table.unlink(missing_ok=True)  # written last: it says that the other files are complete
    window_s = model.intake.window_s
    folder.say(
        {
            "warnings": [one.sentence for one in known],
            "of": f"{name}, {of}",
            "window_s": window_s,
            "hop_s": window_s if config.hop_s is None else config.hop_s,
            "steps": [repr(step) for step in model.intake.steps],
        }
    )
    screen = console()
    screen.rule(titled(f"{name}, {of}", known), style="dim")
    for one in known:
        screen.print(f"{one}.", style="yellow", soft_wrap=True)
    arrow = _arrow()

    def work(key: str, path: Path, done: Callable[[float], None]) -> dict[str, Any]:
        target = folder.file("npz", key, ".npz")
        beside = folder.file("parquet", key, ".parquet") if arrow else None
        found = embedded(model, key, path, of, config.hop_s, done)
        arrays = {key: value for key, value in found.items() if key != "remarks"}
        with whole(target) as temporary:
            np.savez(temporary, **arrays)
        if arrow and beside is not None:
            _write_parquet(arrow, beside, arrays)
        return found

    outcomes = dict(each(recordings, work, "Embedding"))
    _write_recordings(table, outcomes, recordings)
    for sentence in _said(outcomes, arrow is not None):
        screen.print(sentence, soft_wrap=True)
    kinds = ["npz/", *(["parquet/"] if arrow else [])]
    screen.print(f"{folder.path}: {', '.join([TABLE, *kinds, ABOUT])}", soft_wrap=True)
    end_with_failures(screen, outcomes, "could not be embedded", TABLE)


def embedded(
    model: Applied, name: str, path: Path, of: Of, hop_s: float | None, done: Callable[[float], None]
) -> dict[str, Any]:
    """The vectors of a recording's windows, and what is known of them."""
    windows = model.intake.windows(model.declared.opened(path), hop_s)
    rows = []
    for x in windows.batches(BATCH):
        rows.append(model.on.vectors(x, windows.montage.coords, of).astype(np.float32))
        done(sum(map(len, rows)) / len(windows))
    return {
        "vectors": np.concatenate(rows),
        "second": windows.second,
        "recording": np.array(name),
        "channels": np.array(windows.montage.names),
        "window_s": np.array(windows.window_s),
        "hop_s": np.array(windows.hop_s),
        "remarks": windows.remarks,
    }


def _of(config: DictConfig) -> Of:
    of = config.of
    if of is None:
        alone = config.run is None and config.weights is None
        of = "encoder" if alone else "backbone"
    if of not in get_args(Of):
        raise EegfmError(f"of={of}: one of these is wanted: {', '.join(get_args(Of))}.")
    return of


def _published(config: DictConfig) -> Applied:
    """The model that the words of a training describe, its backbone from `config.weights`."""
    if "_target_" not in config.data:
        raise EegfmError(
            "Name a run: run=runs/<run>; or, for published weights, what they read: data=<benchmark>, whose channels, "
            "steps and windows are taken"
        )
    run = build(config, config.weights)
    if config.weights is None and run.data.encoder is None:
        raise EegfmError(
            "Without weights the vectors would be those of a random network. Name some: run=runs/<run>, "
            "weights=published, weights=<checkpoint>, or encoder=<encoder>"
        )
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    on = OnWindows(run.task, run.data.encoder, auto if config.device == "auto" else config.device)
    steps, weights = str(config.steps), run.started_from.get("weights")
    return Applied(run, on, intake_of(run, steps), declared_of(run, steps), weights, True)


def _named(config: DictConfig, of: Of) -> str:
    node = config.encoder if of == "encoder" else config.model
    return str(node.get("_target_", "")).rpartition(".")[2]


def _identity(model: Applied, config: DictConfig, of: Of) -> dict[str, Any]:
    """What decides the vectors of published weights, beside the recordings and settings."""
    values = plain(config)
    nodes = ("data", "encoder") if of == "encoder" else ("data", "encoder", "model", "task")
    encoder = model.run.data.encoder
    facts = {
        "config": run_identity({key: values[key] for key in nodes if key in values}),
        "encoder": None if encoder is None else encoder.settings(),
        "weights": None if model.weights is None else sha256_of(Path(model.weights)),
    }
    return json.loads(json.dumps(facts, default=str))


def _arrow() -> Any:
    """pyarrow, if it is installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return None
    return pyarrow


def _write_parquet(arrow: Any, path: Path, arrays: Mapping[str, Any]) -> None:
    """The same as the npz: a row a window, the vector as a list; channels and times in the file's metadata."""
    vectors = arrays["vectors"]
    n, width = vectors.shape
    columns = {
        "recording": arrow.array([str(arrays["recording"])] * n),
        "window": arrow.array(np.arange(n)),
        "second": arrow.array(arrays["second"]),
        "vector": arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.ravel()), width),
    }
    about = {
        "channels": json.dumps(arrays["channels"].tolist()),
        "window_s": repr(float(arrays["window_s"])),
        "hop_s": repr(float(arrays["hop_s"])),
    }
    with whole(path) as temporary:
        arrow.parquet.write_table(arrow.table(columns, metadata=about), temporary)


def _write_recordings(
    path: Path, outcomes: Mapping[str, dict[str, Any] | str], files: Mapping[str, Path]
) -> None:
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "windows", "width", "remarks", "failed", "file"])
        for name, one in outcomes.items():
            row = (
                ["", "", "", one] if isinstance(one, str) else [*_shape(one), "; ".join(one["remarks"]), ""]
            )
            writer.writerow(map(cell, [name, *row, str(files[name])]))


def _shape(found: Mapping[str, Any]) -> tuple[int, int]:
    return found["vectors"].shape


def _said(outcomes: Mapping[str, dict[str, Any] | str], parquet: bool) -> list[str]:
    found = [one for one in outcomes.values() if not isinstance(one, str)]
    widths = ", ".join(f"{width:,}" for width in sorted({_shape(one)[1] for one in found}))
    said = [
        f"{sum(_shape(one)[0] for one in found):,} windows of {len(found):,} recordings, vectors of {widths or 'no'} "
        "numbers"
    ]
    said += [
        f"{name}: {remark}"
        for name, one in outcomes.items()
        if not isinstance(one, str)
        for remark in one["remarks"]
    ][:20]
    return said if parquet else [*said, "no Parquet, which needs pyarrow. Type: pip install pyarrow"]
