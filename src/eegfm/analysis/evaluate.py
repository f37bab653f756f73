"""`eegfm evaluate`: the scores of trained weights on a split, a page that explains them, or an embedding map."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from eegfm.analysis.embedding_map import draw
from eegfm.analysis.explain import explain
from eegfm.benchmarks.spec import SPLITS, SplitName
from eegfm.build import Run, on_one_device, trained
from eegfm.contracts import EegfmError
from eegfm.runs.alarms import alarms_of
from eegfm.runs.alarms import sentences as alarms_in_words
from eegfm.runs.corpora_seen import reservations_at
from eegfm.runs.evaluations import folder_of_evaluation
from eegfm.runs.outputs import write_and_score
from eegfm.runs.overlap import facts_beside, people_seen
from eegfm.runs.place import Place
from eegfm.runs.predictions import OF_VALIDATION
from eegfm.runs.results import RunResult, json_values
from eegfm.runs.summary import show_scores
from eegfm.runs.wholes import sentences as wholes_in_words
from eegfm.runs.wholes import wholes_of
from eegfm.support.files import write_json
from eegfm.tasks.fitted import FitsInOneGo


def evaluate(config: DictConfig) -> None:
    """Score, explain or map the run at `config.run`, on its own data or on `config.raw`.

    The outcome goes to a folder of its own (see `runs.evaluations`).
    """
    split = config["values"].split or ("val" if config.embedding_map else "test")
    if split not in SPLITS:
        raise EegfmError(f"split={split} is not a split. Type one of {', '.join(SPLITS)}.")
    place = Place.of(config.run, config.trust)
    own = on_one_device(place.config)
    own.paths, own.trainer.accelerator = config.paths, config.trainer.accelerator
    _use_cache_at_hand(own, Path(config.paths.cache), place.result)
    if config.raw is not None:
        own.data.raw = config.raw
    if config.embedding_map:
        draw(own, place, split)
        return
    if config.explain:
        explain(own, place, split, {"logger": config.logger})
        return
    run = trained(own, place)
    run.data.prepare_data()
    run.data.setup("test" if split == "test" else "fit")
    in_one_go = isinstance(run.task, FitsInOneGo)
    predictions = run.task.predict(run.data, split) if in_one_go else _predict(run, split)
    ids = [run.data.subjects[i] for i in predictions.subject]
    folder = folder_of_evaluation(place, run.task, run.data, split)
    out, scores, by_subject = write_and_score(folder, split, predictions, ids, run.data.spec)
    tested = len(predictions.keys) if split == "test" else None
    reserved = reservations_at(place, run.config, run.data, tested=tested)
    result = place.result
    people = result.people.get("people", {}) if result else people_seen(place.checkpoint)[0]
    facts = facts_beside(run.data, people)
    validation = place.folder / OF_VALIDATION
    wholes = wholes_of(out, validation)
    spec = run.data.benchmark
    events = alarms_of(
        out,
        validation,
        spec.alarm if spec.classes else "",
        spec.window_s if spec.classes else 0,
    )
    numbers = {
        "warnings": [one.sentence for one in reserved],
        "leakage": facts.leakage.sentence(),
        "metrics": scores,
        "by_subject": by_subject,
        "wholes": wholes,
        "events": events,
    }
    write_json(folder / "scores.json", json_values(numbers))
    title = f"{run.data.benchmark.title}, {split} split ({place})"
    show_scores(
        title,
        scores,
        by_subject,
        [*wholes_in_words(wholes), *alarms_in_words(events)],
        facts,
        out,
        reserved,
    )


def _use_cache_at_hand(own: DictConfig, now: Path, result: RunResult | None) -> None:
    """Change a run's config to the cache that is named now, if it holds the run's stores, else leave the run's own.

    Without a result, or where neither has the stores, the first of both that exists is taken.
    """
    facts = [] if result is None else [*result.benchmark.each.values()]
    stores = [Path(*Path(one.store).parts[-2:]) for one in facts]  # <benchmark>/<fingerprint>
    for node in (own.data.get("corpora") or {"": own.data}).values():
        caches = [now, Path(node.cache)]
        whole = [cache for cache in caches if stores and all((cache / one).is_dir() for one in stores)]
        node.cache = str([*whole, *(cache for cache in caches if cache.is_dir()), now][0])


def _predict(run: Run, split: SplitName) -> Any:
    trainer = run.make_trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    loader = run.data.split_dataloader(split)
    trainer.test(run.task, dataloaders=loader, verbose=False)
    return run.task.outputs
