"""The epoch of a mix: shares of corpora, endless permutations, workers, processes, interruptions."""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor
from torch.utils.data import Dataset

from eegfm.build import Run
from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.loaders import Loader
from eegfm.data.mixing.batches import Batches, shares
from eegfm.nn.masks import Spans
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.tasks.schedules import one_cycle
from eegfm.training.fit import save_steps
from eegfm.training.selection import checkpoint_callbacks
from tests.data import ddp_mix
from tests.data.small_mix import mix, ready, task_of
from tests.tasks.toy import trainer

SIZES = st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), min_size=1)


def epoch_of(sampler: Batches, epoch: int) -> list[tuple[str, list[int]]]:
    sampler.set_epoch(epoch)
    return list(sampler)


# ---- shares ----------------------------------------------------------------------------------------------------------


@given(SIZES, st.data())
@settings(max_examples=100, deadline=None)
def test_shares_are_the_weights_to_within_a_window_and_add_up(sizes, data):
    weights = data.draw(st.none() | st.fixed_dictionaries({c: st.floats(0.5, 5) for c in sizes}))
    total = data.draw(st.none() | st.integers(50, 500))
    of = weights or sizes
    n = sum(sizes.values()) if total is None else total
    assume(n * min(of.values()) >= sum(of.values()))  # less than a window is refused: see below
    found = shares(sizes, weights, total)
    if weights is None and total is None:
        assert found == sizes
    assert sum(found.values()) == n
    for corpus in sizes:
        assert abs(found[corpus] - n * of[corpus] / sum(of.values())) < 1


def test_weights_are_refused_where_they_say_nothing_or_too_little(places):
    for weights in ({"first": 1}, {"first": 1, "second": 0}, {"first": 1, "second": 1, "third": 1}):
        with pytest.raises(EegfmError, match=r"data\.weights=\{first: 1, second: 1\}"):
            mix(places, weights=weights)
    with pytest.raises(EegfmError, match="An epoch of 4 windows has none of second"):
        ready(places, weights={"first": 100, "second": 1}, epoch_windows=4)


@given(SIZES, st.integers(1, 7), st.integers(0, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_every_window_comes_once_before_any_comes_twice_also_over_epochs(sizes, batch_size, seed, data):
    draws = {corpus: data.draw(st.integers(1, 90)) for corpus in sizes}
    sampler = Batches(sizes, batch_size, seed, draws=draws)
    rows: dict[str, list[int]] = {corpus: [] for corpus in sizes}
    for epoch in range(4):
        batches = epoch_of(sampler, epoch)
        assert len(batches) == len(sampler)
        taken = Counter()
        # within an epoch batches are shuffled, so the row is that of the windows in the order of their positions
        for corpus in sizes:
            row = sampler._places(corpus, draws[corpus]).tolist()
            assert Counter(row) == Counter(i for c, p in batches if c == corpus for i in p)
            rows[corpus] += row
            taken[corpus] = len(row)
        assert taken == Counter(draws)
    for corpus, row in rows.items():
        size = sizes[corpus]
        for start in range(0, len(row), size):
            part = row[start : start + size]
            assert len(set(part)) == len(part), "a permutation, end to end with the next"
        alone = Batches({corpus: size}, batch_size, seed, draws={corpus: draws[corpus]})
        alone.set_epoch(3)
        assert alone._places(corpus, draws[corpus]).tolist() == row[-draws[corpus] :], (
            "whatever else is mixed in"
        )


def test_a_mix_draws_by_weight_and_says_so(places):
    data = ready(places, weights={"first": 3, "second": 1}, epoch_windows=60)
    seen = Counter(batch.corpus for batch in data.train_dataloader() for _ in batch.key)
    assert seen == {"first": 45, "second": 15}  # of 18 and 24: two and a half times, and in part
    assert data.provenance().draws == {"first": 45, "second": 15}
    assert ready(places).provenance().draws == {}


# ---- workers and processes -------------------------------------------------------------------------------------------


class Numbers(Dataset):
    """Windows that are their own places."""

    def __getitem__(self, item: tuple[str, list[int]]) -> EEGBatch:
        corpus, rows = item
        number = torch.tensor(rows)
        return EEGBatch(number[:, None, None].float(), torch.zeros(1, 3), number, number, [], corpus)


@pytest.mark.slow
def test_sixteen_workers_give_two_thousand_different_windows_of_two_thousand():
    """The reference gives 158: its workers draw alike."""
    torch.set_num_threads(1)
    loader = Loader(Numbers(), Batches({"a": 1500, "b": 500}, 10, seed=0), num_workers=16)
    seen = [(batch.corpus, int(row)) for batch in loader for row in batch.label]
    assert len(seen) == len(set(seen)) == 2_000
    one = Loader(Numbers(), Batches({"a": 1500, "b": 500}, 10, seed=0))
    assert [(batch.corpus, int(row)) for batch in one for row in batch.label] == seen


@given(SIZES, st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_processes_share_every_batch(sizes, batch_size, n_ranks):
    whole = Batches(sizes, batch_size, 5)
    ranks = [Batches(sizes, batch_size, 5, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)]
    for epoch in range(3):
        dealt = [epoch_of(sampler, epoch) for sampler in ranks]
        for (corpus, batch), *dealt_out in zip(epoch_of(whole, epoch), *dealt, strict=True):
            assert {c for c, _ in dealt_out} == {corpus}
            assert {i for _, own in dealt_out for i in own} == set(batch)
    blocks = [list(Batches(sizes, batch_size, rank=rank, n_ranks=n_ranks)) for rank in range(n_ranks)]
    for corpus, n in sizes.items():
        rows = [i for batches in blocks for c, own in batches if c == corpus for i in own]
        assert rows == list(range(n)), "scored once each"


@pytest.mark.slow
@pytest.mark.long  # Lightning loads twice more
def test_two_processes_train_on_the_batches_of_one_and_validate_as_one(places):
    """Through Lightning's own DDP, over gloo: it neither wraps the sampler nor keeps the epoch from it."""
    ddp_mix.run(places, 1)
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.ddp_mix", str(places)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    one, first, second = (
        json.loads((places / f"seen-{name}.json").read_text()) for name in ("1-0", "2-0", "2-1")
    )
    assert [len(epoch) for epoch in one["seen"]] == [9, 9, 9]
    for whole, a, b in zip(one["seen"], first["seen"], second["seen"], strict=True):
        for batch, *dealt in zip(whole, a, b, strict=True):
            assert {corpus for corpus, *_ in dealt} == {batch[0]}
            assert [key for _, *keys in dealt for key in keys] == batch[1:], (
                "the batch of one process, dealt out"
            )
    for found in (first, second):
        assert sorted(found["keys"]) == sorted(one["keys"]), "every window once, in each"
        assert found["val"] == pytest.approx(one["val"], rel=1e-5)


def test_more_processes_than_windows_of_a_batch_are_a_sentence(places):
    data = ready(places, batch_size=2)
    data.trainer = type("Three", (), {"global_rank": 0, "world_size": 3})()
    with pytest.raises(EegfmError, match=r"data\.batch_size=2 is shared by 3 processes"):
        data.train_dataloader()


# ---- interruptions ---------------------------------------------------------------------------------------------------


@given(SIZES, st.integers(0, 30), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_an_epoch_goes_on_behind_what_is_skipped_and_the_next_is_whole(sizes, n, epoch):
    whole, rest = Batches(sizes, 3, 1), Batches(sizes, 3, 1)
    rest.skip(epoch, n)
    assert epoch_of(rest, epoch) == epoch_of(whole, epoch)[n:]
    assert epoch_of(rest, epoch + 1) == epoch_of(whole, epoch + 1)
    assert len(rest) == len(whole)


class Traced(Reconstruct):
    """Keeps what it was trained on, and every loss."""

    trace: list

    def training_step(self, batch: EEGBatch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.trace.append((self.current_epoch, batch.corpus, tuple(batch.key), loss.item()))
        return loss


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_fit_goes_on_in_the_middle_of_an_epoch_as_if_nothing_had_been(places, tmp_path, num_workers):
    """Resumed at the first, middle or last step of an epoch, or within a later one, it is equal to the bit."""

    def fitted(ckpt=None, callbacks=()):
        data = mix(places, num_workers=num_workers, weights={"first": 2, "second": 1})
        task = task_of(data, mask=partial(Spans, ratio=0.5, span_s=0.2))
        task.make_schedule = partial(one_cycle, max_lr=1e-2)
        task.__class__, task.trace = Traced, []
        fit = trainer(tmp_path, max_epochs=3, callbacks=[*callbacks], enable_checkpointing=bool(callbacks))
        fit.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        return task

    every = ModelCheckpoint(
        tmp_path / "c",
        filename="{step}",
        every_n_train_steps=1,
        save_top_k=-1,
        auto_insert_metric_name=False,
    )
    whole = fitted(callbacks=[every])
    n = len(whole.trace) // 3
    assert n == 9
    for step in (1, 5, n, n + 4, 2 * n) if not num_workers else (n + 4,):
        resumed = fitted(ckpt=tmp_path / "c" / f"{step}.ckpt")
        assert resumed.trace == whole.trace[step:], step
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), (step, name)


def test_a_run_that_saves_every_few_steps_loses_no_more_than_those(places, tmp_path):
    """Stopped after five steps of nine with save_steps=2, it goes on from the fourth and ends as if uninterrupted."""

    def fitted(folder: Path, stop: int | None = None, ckpt=None) -> Traced:
        task = task_of(data := mix(places))
        task.__class__, task.trace = Traced, []
        callbacks = checkpoint_callbacks(folder, monitor="val/loss", mode="min", rule={}, every=2)
        if stop is not None:
            callbacks.append(Stop(stop))
        fit = trainer(tmp_path, max_epochs=2, callbacks=callbacks, enable_checkpointing=True)
        try:
            fit.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        except Stopped:
            pass
        return task

    whole = fitted(tmp_path / "whole")
    begun = fitted(tmp_path / "run", stop=5)
    assert len(begun.trace) == 5
    resumed = fitted(tmp_path / "run", ckpt=tmp_path / "run" / "last.ckpt")
    assert resumed.trace == whole.trace[4:]
    assert torch.equal(resumed.backbone.layer.weight, whole.backbone.layer.weight)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["best.ckpt", "last.ckpt"]


class Stopped(Exception):
    pass


class Stop(Callback):
    """Ends a fit behind so many steps, as a power cut does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            raise Stopped


def test_saving_every_no_steps_is_refused(places):
    data = mix(places)
    with pytest.raises(EegfmError, match=r"save_steps=0: .*above 0"):
        save_steps(Run(None, data, None, {"save_steps": 0}))
    assert save_steps(Run(None, data, None, {"save_steps": 2})) == 2
    assert save_steps(Run(None, data, None, {"save_steps": None})) is None


@pytest.mark.slow
def test_workers_of_a_resumed_fit_of_one_benchmark_draw_the_order_of_its_epoch(places, tmp_path):
    """Lightning asks for an iterator before it tells the epoch; workers would begin with the first epoch's order."""

    def fitted(epochs: int, ckpt=None):
        data = mix(places, own={}).corpora["first"]
        data.num_workers, data.batch_size = 1, 5
        task = task_of(data)
        task.__class__, task.trace = Traced, []
        fit = trainer(tmp_path, max_epochs=epochs)
        fit.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        return fit, task.trace

    _, whole = fitted(2)
    fit, begun = fitted(1)
    fit.save_checkpoint(tmp_path / "one.ckpt")
    assert begun + fitted(2, tmp_path / "one.ckpt")[1] == whole
