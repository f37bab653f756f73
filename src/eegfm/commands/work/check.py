"""What `eegfm check` does: hold a model to what a task relies on, one check after another, on a real batch."""

import copy
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from eegfm.build import Run, build
from eegfm.config.corpora import one_corpus
from eegfm.contracts import EEGBatch, EegfmError
from eegfm.nn.scaling import fit_unit
from eegfm.support.words import console, some
from eegfm.tasks.classify import Classify
from eegfm.tasks.fitted import FitsInOneGo, read_fitted, write_fitted

RATE = 1e-3  # of the steps that are tried
RTOL, ATOL = 1e-3, 1e-4  # of the same window in another batch, whose sums are rounded otherwise


@dataclass(frozen=True)
class Found:
    """What a check has found; `failed` says what to do, and is empty if it holds. `only_told`: it is no fault."""

    name: str
    said: str
    failed: str = ""
    only_told: bool = False


def check(config: DictConfig) -> None:
    """Check the config's model on a batch of its data; a failed check ends in exit status 1."""
    one_corpus(config, "eegfm check")
    if not isinstance(config.windows, int) or isinstance(config.windows, bool) or config.windows < 4:
        raise EegfmError(f"windows={config.windows}: a whole number from 4 on is wanted.")
    torch.manual_seed(config.seed)
    run = build(config, config.weights)
    run.data.prepare_data()
    run.data.setup("fit")
    task = _classifying(run)
    batch = _batch(run.data, config.windows)
    said = type(getattr(task.backbone, "network", task.backbone)).__name__
    screen = console()
    screen.print(
        f"{said} on {len(batch.label)} windows of {run.data.benchmark.title}, {tuple(batch.x.shape[1:])}"
    )
    failed = 0
    checks = (
        _of_fit(run, batch)
        if isinstance(task, FitsInOneGo)
        else _of_network(task, _classifying(build(config, None)), batch)
    )
    for one in checks:
        failed += bool(one.failed) and not one.only_told
        mark = "ok" if not one.failed else "note" if one.only_told else "FAILED"
        screen.print(f"  {mark:<7}{one.name:<22}{one.said}", soft_wrap=True)
        if one.failed:
            screen.print(f"{'':31}{one.failed}", soft_wrap=True)
    if failed:
        sys.exit(f"{failed} of the checks failed.")


def _classifying(run: Run) -> Any:
    """The task of a run; where it pre-trains a backbone, one that classifies by it."""
    if isinstance(run.task, Classify | FitsInOneGo):
        return run.task
    unit, rate = getattr(run.task, "scale", None), partial(torch.optim.AdamW, lr=RATE)
    return Classify(run.task.backbone, run.data.spec, optimizer=rate, scale=unit, seed=0)


def _batch(data: Any, n: int) -> EEGBatch:
    """`n` training windows, of every class alike as far as there are some, from all over the split."""
    rows = data.dataset("train")
    order = np.random.default_rng(0).permutation(len(rows))
    turn = np.zeros(len(rows), dtype=int)
    for label in np.unique(rows.labels):
        of_class = order[rows.labels[order] == label]
        turn[of_class] = np.arange(len(of_class))
    return rows.__getitems__(np.sort(order[np.argsort(turn[order], kind="stable")][:n]))


# ---- a network -------------------------------------------------------------------------------------------------------


def _of_network(task: Any, fresh: Any, batch: EEGBatch) -> Iterator[Found]:
    """The checks of a classifying task; `fresh` is the same made anew, from another seed."""
    if hasattr(task.backbone, "fit_input"):
        task.backbone.fit_input([batch.x])
    fit_unit(task.backbone, [batch.x])
    first = _shape(task, batch)
    yield first
    if first.failed:
        return
    yield _gradients(task, batch)
    yield _batch_mates(task, batch)
    yield _modes(task, batch)
    yield _saved(task, fresh, batch)
    yield _same_seed(task, batch)
    yield _lengths(task, batch)
    yield _cost(task, batch)


def _shape(task: Any, batch: EEGBatch) -> Found:
    """One finite logit a class (one for two classes), float32; of one window as well."""
    name = "shape"
    try:
        with torch.no_grad():
            out, alone = _eval(task)(batch), _eval(task)(_part(batch, 0, 1))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        remedy = "Every batch size has to work, 1 as well: do not squeeze the axis of the batch."
        return Found(name, f"{type(error).__name__}: {error}", remedy)
    embedded = getattr(task.backbone, "width", None)
    said = f"[{len(batch.x)}, ...] -> {list(out.shape)}; the vector before the last layer has {embedded} numbers"
    if alone.shape != (1, *out.shape[1:]) or out.dtype != torch.float32:
        return Found(
            name, said, f"One window gives {list(alone.shape)} and {alone.dtype}: a row a window is wanted."
        )
    if not torch.isfinite(out).all():
        return Found(
            name, said, "Some are not finite. The input is microvolts: try task.scale=100, or a norm first."
        )
    return Found(name, said)


def _gradients(task: Any, batch: EEGBatch) -> Found:
    """Of the loss, and, of a backbone that gives windows back, of these: its decoder classifies nothing."""
    task = copy.deepcopy(task).train()
    loss, backbone = task.loss(task(batch.x, batch.coords), batch.label), task.backbone
    if type(backbone).forward is not nn.Module.forward and not getattr(backbone, "light", False):
        loss = loss + backbone(task.scaled(batch.x), batch.coords).square().mean()
    loss.backward()
    learned = {name: p.grad for name, p in task.named_parameters() if p.requires_grad}
    without = [name for name, grad in learned.items() if grad is None or not grad.any()]
    wild = [name for name, grad in learned.items() if grad is not None and not torch.isfinite(grad).all()]
    said = f"{len(learned) - len(without)} of {len(learned)} parameter tensors have one"
    if wild:
        return Found(
            "gradients", said, f"Not finite: {some(wild, 5)}. Try task.scale=100, or a norm first."
        )
    if without:
        return Found(
            "gradients", said,
            f"None, or zero: {some(without, 5)}. The loss does not depend on them: use them, or take them out.",
        )  # fmt: skip
    return Found("gradients", said)


def _batch_mates(task: Any, batch: EEGBatch) -> Found:
    n = len(batch.label)
    forward = _eval(task)
    with torch.no_grad():
        together = forward(batch)
        alone = torch.cat([forward(_part(batch, i, i + 1)) for i in range(n)])
    worst = float((together - alone).abs().max())
    said = f"logits of a window alone and in the batch differ by {worst:.1g}"
    if torch.allclose(together, alone, rtol=RTOL, atol=ATOL):
        return Found("batch-mates", said)
    return Found(
        "batch-mates", said,
        "In eval mode a window must not depend on the others, or scores depend on the batch size: no mean over axis 0, "
        "no batch norm without running statistics.",
    )  # fmt: skip


def _modes(task: Any, batch: EEGBatch) -> Found:
    forward = _eval(task)
    before = {key: value.clone() for key, value in task.state_dict().items()}
    with torch.no_grad():
        first, second = forward(batch), forward(batch)
    moved = [key for key, value in task.state_dict().items() if not torch.equal(value, before[key])]
    random = [
        name for name, module in task.backbone.named_modules()
        if isinstance(module, nn.Dropout) and module.p > 0 and module.training
    ]  # fmt: skip
    name = "train and eval mode"
    if not torch.equal(first, second):
        remedy = "Two passes in eval mode differ: use nn.Dropout, or F.dropout(x, p, self.training)."
        return Found(name, f"logits differ by {float((first - second).abs().max()):.1g}", remedy)
    if moved or random:
        return Found(
            name,
            f"eval mode changes {some(moved or random, 3)}",
            "Let only training change state: if self.training.",
        )
    return Found(name, "two passes in eval mode are equal and change nothing")


def _saved(task: Any, other: Any, batch: EEGBatch) -> Found:
    file = io.BytesIO()
    torch.save(task.state_dict(), file)
    file.seek(0)
    with torch.no_grad():
        try:
            other.load_state_dict(torch.load(file, weights_only=True))
        except (RuntimeError, ValueError, TypeError) as error:
            said = str(error).splitlines()[0]
            return Found(
                "save and load", said, "State has to be parameters and buffers (register_buffer): tensors."
            )
        same = torch.equal(_eval(other)(batch), _eval(task)(batch))
    size = file.getbuffer().nbytes / 1e6
    said = f"{size:.2f} MB"
    if same:
        return Found("save and load", f"{said}, logits equal")
    return Found(
        "save and load", f"{said}, other logits",
        "Something that a pass needs is not in the state dict: make it a parameter or a buffer (register_buffer).",
    )  # fmt: skip


def _same_seed(task: Any, batch: EEGBatch) -> Found:
    first, second = _steps(task, batch), _steps(task, batch)
    fell = f"loss {first[0]:.3f} -> {first[-1]:.3f} in {len(first)} steps on this batch"
    if first != second:
        remedy = "From one seed two trainings differ: draw random numbers by torch alone."
        return Found("same seed", fell, remedy)
    return Found("same seed", f"twice the same; {fell}")


def _steps(task: Any, batch: EEGBatch, n: int = 5) -> list[float]:
    task = copy.deepcopy(task).train()
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=RATE)
    losses = []
    with torch.random.fork_rng(devices=[]):
        for step in range(n):
            torch.manual_seed(step)
            optimizer.zero_grad()
            loss = task.loss(task(batch.x, batch.coords), batch.label)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def _lengths(task: Any, batch: EEGBatch) -> Found:
    half = batch.x.shape[2] // 2
    x = batch.x[:, :, :half]
    try:
        with torch.no_grad():
            _eval(task)(batch._replace(x=x))
    except Exception as error:  # anybody's code; only whether it works is of interest
        said = f"windows of half the length are refused ({type(error).__name__})"
        return Found(
            "another length", said, "It is tied to the windows that it is trained on.", only_told=True
        )
    return Found("another length", "windows of half the length are taken as well")


def _cost(task: Any, batch: EEGBatch) -> Found:
    process = psutil.Process()
    before = process.memory_info().rss
    _steps(task, batch, 1)
    started = time.perf_counter()
    _steps(task, batch, 3)
    ms = (time.perf_counter() - started) / 3 * 1e3
    grown = max(0, process.memory_info().rss - before) / 1e6
    weights = sum(p.numel() for p in task.parameters())
    said = f"{weights:,} parameters; a step on the CPU {ms:.0f} ms, {len(batch.label) / ms * 1e3:.0f} windows/s; memory"
    return Found("time and memory", f"{said} grew by {grown:.0f} MB")


def _eval(task: Any) -> Callable[[EEGBatch], Tensor]:
    """A pass of the task, which is now in eval mode."""
    task.eval()
    return lambda batch: task(batch.x, batch.coords)


def _part(batch: EEGBatch, start: int, stop: int) -> EEGBatch:
    return batch._replace(x=batch.x[start:stop], label=batch.label[start:stop])


# ---- a model that is fitted in one go --------------------------------------------------------------------------------


def _of_fit(run: Any, batch: EEGBatch) -> Iterator[Found]:
    """A model fitted in one go; a probe's backbone is not fitted, and its head is."""
    task, model = run.task, run.task.fitted
    if model is not task.backbone:
        raise EegfmError("eegfm check looks at a network by task=classify. Leave task=probe out.")
    x, label, n = batch.x.numpy(), batch.label.numpy(), len(run.data.spec.classes)
    started = time.perf_counter()
    model.fit(x, label, x, label)
    found = model.probabilities(x)
    yield Found("fit", f"{time.perf_counter() - started:.2f} s; {model.n_parameters:,} fitted numbers")
    sums = found.sum(axis=1)
    right = found.shape == (len(x), n) and np.isfinite(found).all() and np.allclose(sums, 1, atol=1e-5)
    yield Found(
        "probabilities", f"{found.shape}, rows sum to {sums.min():.4g} to {sums.max():.4g}",
        "" if right else f"A column for each of {n} classes is wanted, and rows that sum to 1.",
    )  # fmt: skip
    alone = np.concatenate([model.probabilities(x[i : i + 1]) for i in range(len(x))])
    worst = float(np.abs(alone - found).max())
    yield Found(
        "batch-mates", f"of a window alone and with others differ by {worst:.1g}",
        "" if worst < 1e-6 else "A prediction must not depend on the other windows: fit what is needed in fit.",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        try:
            write_fitted(task, Path(folder))
            trust = [type(getattr(model, "estimator", model)).__module__, *_modules(model)]
            read_fitted(task, Path(folder), trust)
            same = np.array_equal(model.probabilities(x), found)
            yield Found(
                "save and load",
                "equal" if same else "other probabilities",
                "" if same else "State is lost.",
            )
        except Exception as error:  # skops, on anybody's classes
            said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            yield Found(
                "save and load",
                said,
                "Use classes and functions of modules, no lambdas and nothing from this session.",
            )


def _modules(model: Any) -> list[str]:
    """The package of a person's own path, which they trust by having typed it."""
    path = getattr(model, "path", None)
    return [] if path is None else [path.rpartition(".")[0]]
