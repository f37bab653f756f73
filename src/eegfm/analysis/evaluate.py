"""`eegfm evaluate`: the scores of trained weights on a split, a page that explains them, or an embedding map."""

from typing import Any

from omegaconf import DictConfig

from eegfm.analysis.embedding_map import draw
from eegfm.analysis.explain import explain
from eegfm.benchmarks.spec import SPLITS, SplitName
from eegfm.build import Run, on_one_device, trained
from eegfm.contracts import EegfmError
from eegfm.runs.outputs import write_and_score
from eegfm.runs.place import Place
from eegfm.runs.seen import reservations_at
from eegfm.runs.summary import show_scores
from eegfm.tasks.fitted import FitsInOneGo


def evaluate(config: DictConfig) -> None:
    """Score, explain or map the run at `config.run`, on its own data or on `config.raw`."""
    split = config["values"].split or ("val" if config.embedding_map else "test")
    if split not in SPLITS:
        raise EegfmError(f"split={split} is not a split. Type one of {', '.join(SPLITS)}.")
    place = Place.of(config.run, config.trust)
    own = on_one_device(place.config)
    own.paths, own.trainer.accelerator = config.paths, config.trainer.accelerator
    if config.raw is not None:
        own.data.raw = config.raw
    if config.embedding_map:
        draw(own, place, split)
        return
    if config.explain:
        explain(own, place, split)
        return
    run = trained(own, place)
    run.data.prepare_data()
    run.data.setup("test" if split == "test" else "fit")
    in_one_go = isinstance(run.task, FitsInOneGo)
    predictions = run.task.predict(run.data, split) if in_one_go else _predict(run, split)
    ids = [run.data.subjects[i] for i in predictions.subject]
    out, scores, by_subject = write_and_score(place.beside, split, predictions, ids, run.data.spec)
    tested = len(predictions.keys) if split == "test" else None
    show_scores(
        f"{run.data.benchmark.title}, {split} split ({place})",
        scores,
        by_subject,
        run.data.provenance(),
        out,
        reservations_at(place, run.config, run.data, tested=tested),
    )


def _predict(run: Run, split: SplitName) -> Any:
    trainer = run.make_trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    loader = run.data.split_dataloader(split)
    trainer.test(run.task, dataloaders=loader, verbose=False)
    return run.task.outputs
