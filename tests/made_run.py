"""Run folders as training leaves them, without the training: random predictions, real scores, real files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from eegfm.data.facts import BenchmarkFacts, Leakage
from eegfm.runs.machine import environment
from eegfm.runs.outputs import subject_scores
from eegfm.runs.predictions import write_predictions
from eegfm.runs.results import RunResult, write_result
from eegfm.tasks.metrics import scores

CLASSES = {2: ("rest", "arithmetic"), 4: ("left", "right", "fists", "feet")}


def config(seed: int, **overrides: Any) -> dict[str, Any]:
    """A resolved config, as `config.yaml` holds it; overrides are dotted: **{"model.width": 64}."""
    plain = {
        "model": {"_target_": "eegfm.models.stamp.Stamp", "width": 128, "depth": 8},
        "task": {"_target_": "eegfm.tasks.classify.Classify", "seed": seed, "label_smoothing": 0.1},
        "data": {
            "raw": "data/raw/x",
            "cache": "data/cache",
            "num_workers": 0,
            "seed": seed,
            "batch_size": 64,
        },
        "encoder": {"_target_": "eegfm.encoders.spectrum.Spectrum", "high_hz": 45},
        "trainer": {"max_epochs": 50, "accelerator": "auto"},
        "paths": {"runs": "runs"},
        "seed": seed,
    }
    made = OmegaConf.create(plain)
    for key, value in overrides.items():
        OmegaConf.update(made, key, value)
    found = OmegaConf.to_container(made)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def facts(**changes: Any) -> BenchmarkFacts:
    values: dict[str, Any] = {
        "benchmark": "mental_arithmetic",
        "title": "MentalArithmetic",
        "protocol": "cbramod@b9e9610",
        "published_steps": True,
        "fingerprint": "0123abcd",
        "content": "0123456789abcdef",
        "store": "data/cache/mental_arithmetic/0123abcd",
        "complete": True,
        "simulated": False,
        "subjects": {"train": ["S00", "S01"], "val": ["S28"], "test": ["S32", "S33", "S34"]},
        "subjects_total": 6,
        "missing": [],
        "unusable": [],
        "census": {"train": [60, 20], "val": [30, 10], "test": [90, 30]},
        "within_subject": False,
        "census_differences": [],
        "split": {},
        "leakage": Leakage(),
        "imported": "",
        "not_compared": "",
        "window_s": None,
        "corpora": {},
        "draws": {},
    }
    return BenchmarkFacts(**{**values, **changes})


_here = cache(environment)  # git is asked once


def make_run(
    folder: Path,
    seed: int,
    *,
    data: str = "mental_arithmetic",
    model: str = "stamp",
    encoder: str = "spectrum",
    n_classes: int = 2,
    benchmark: dict[str, Any] | None = None,
    finished_at: str | None = None,
    one_class: str | None = None,
    labels_of: dict[str, int] | None = None,
    constant: bool = False,
    tested: Sequence[str] = ("S32", "S33", "S34"),
    validated: Sequence[str] = ("S28",),
    row: str = "",
    **overrides: Any,
) -> RunResult:
    """Write a finished run of test subjects of 40 windows.

    `one_class` is a subject of the first class only, `labels_of` are subjects of one class each; a `constant` run gives
    the classes' frequencies for every window, as `majority` does.
    """
    classes = CLASSES[n_classes]
    folder.mkdir(parents=True)
    random = np.random.default_rng([seed, n_classes, *folder.name.encode()])
    metrics, by_subject = {}, {}
    for split, subjects in (("val", validated), ("test", tested)):
        who = np.repeat(subjects, 40)
        label = (
            np.arange(len(who)) % 4 % n_classes
            if n_classes > 2
            else (np.arange(len(who)) % 4 == 0).astype(int)
        )
        label[who == one_class] = 0
        for subject, own in (labels_of or {}).items():
            label[who == subject] = own
        logits = random.normal(size=(len(who), n_classes)) + np.eye(n_classes)[label]
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if constant:
            probability = np.tile(np.bincount(label) / len(label), (len(label), 1))
        keys = [f"{subject}_1/{i}s" for i, subject in enumerate(who)]
        write_predictions(
            folder / f"predictions_{split}.csv", keys, who.tolist(), label, probability, classes
        )
        metrics[split] = scores(probability, label, n_classes)
        by_subject[split] = subject_scores(probability, label, who.tolist(), classes)
    (folder / "config.yaml").write_text(
        OmegaConf.to_yaml(OmegaConf.create(config(seed, **overrides))), encoding="utf-8"
    )
    people = {"train": ["S00", "S01"], "val": list(validated), "test": list(tested)}
    monitor = "auroc" if n_classes == 2 else "cohen_kappa"
    about = dict(_here())
    if finished_at:
        about["finished_at"] = finished_at
    result = RunResult(
        name=folder.name,
        experiment=folder.parent.name,
        model=model,
        encoder=encoder,
        data=data,
        task="classify",
        seed=seed,
        classes=list(classes),
        metrics=metrics,
        by_subject=by_subject,
        monitor=monitor,
        monitor_value=metrics["val"][monitor],
        best_epoch=3,
        benchmark=facts(**{"benchmark": data, "subjects": people, **(benchmark or {})}),
        parameters={"trainable": 123_456, "total": 123_456},
        wall_s=12.5,
        peak_memory_mb={"host": 512.0},
        device="cpu",
        started_from={},
        scan=[],
        overlap=[],
        people={"people": {}, "whole": True},
        seen={},
        diagnostics={},
        adapt=None,
        spatial={},
        flops=None,
        devices=1,
        energy_wh=None,
        checkpoints={},
        files={},
        row=row,
        **about,
    )
    write_result(folder, result)
    return result
