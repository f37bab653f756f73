"""`python -m eegfm.evaluate run=<run folder or checkpoint> split=test`: score trained weights on any split.

The run's own config, kept in its folder and in every checkpoint, says which data, encoder and model they were.
`embedding_map=true` draws instead where windows lie, raw, by random weights and by the run's, and says in numbers what
is near to what; of the validation split, if none is named. `explain=true` writes one page with curves,
calibration, scores by subject and, of a backbone that attends, where it looks.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from eegfm.build import build, checkpoint_of, config_of_run, door, on_one_device, seen_here


@door("evaluate", values=("split",))
def main(config: DictConfig) -> None:
    from eegfm.benchmarks.spec import SPLITS
    from eegfm.contracts import EegfmError
    from eegfm.results import read_result, record
    from eegfm.summary import show_scores

    split = config["values"].split or ("val" if config.embedding_map else "test")
    if split not in SPLITS:
        raise EegfmError(f"split={split}: a split is one of {', '.join(SPLITS)}.")
    place = Path(config.run)
    own = on_one_device(config_of_run(place))
    own.paths, own.trainer.accelerator = config.paths, config.trainer.accelerator
    if config.raw is not None:
        own.data.raw = config.raw
    trained = "optimizer" in own.task
    weights = None  # the checkpoint has them
    if not trained:
        weights = read_result(place).started_from.get("weights")
    if config.embedding_map:
        from eegfm.embedding_map import draw

        draw(own, weights, place, split)
        return
    if config.explain:
        from eegfm.explain import explain

        explain(own, place, split)
        return
    if not trained:
        import lightning.pytorch as lightning

        lightning.seed_everything(
            own.seed, verbose=False
        )  # where a probe has random weights, the same ones
    run = build(own, weights)
    run.data.prepare_data()
    found = _predict_trained(run, place, split) if trained else _fit_again(run, split)
    ids = [run.data.subjects[i] for i in found.subject]
    folder = place if place.is_dir() else place.parent
    out, scores, by_subject = record(folder, split, found, ids, run.data.spec)
    facts = run.data.provenance()
    show_scores(
        f"{run.data.benchmark.title}, {split} split ({place})",
        scores,
        by_subject,
        facts,
        out,
        seen=seen_here(run.config, run.config.get("weights"), facts),
    )


def _predict_trained(run: Any, place: Path, split: str) -> Any:
    run.data.setup("test" if split == "test" else "fit")
    trainer = run.make_trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    loader = run.data.split_dataloader(split)
    trainer.test(
        run.task, dataloaders=loader, ckpt_path=checkpoint_of(place), weights_only=True, verbose=False
    )
    return run.task.outputs


def _fit_again(run: Any, split: str) -> Any:
    """A model that is fitted in one go keeps no weights: the same data give the same fit."""
    run.data.setup("fit")
    run.task.fit(run.data)
    run.data.setup("test" if split == "test" else "fit")
    return run.task.predict(run.data, split)


if __name__ == "__main__":
    main()
