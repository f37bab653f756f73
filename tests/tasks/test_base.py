"""Optimiser, schedule, noise and checkpoints of every task, seen through Lightning's own trainer on the CPU."""

from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import SGD, AdamW

from eegfm.contracts import EegfmError
from eegfm.tasks.classify import Classify
from eegfm.tasks.schedules import one_cycle

from .toy import Backbone, Data, Windows, spec_of, trainer

ADAMW = partial(AdamW, lr=1e-3, weight_decay=0.05)
ONE_CYCLE = partial(one_cycle, max_lr=1e-2)


def task_of(n_classes=3, *, seed=0, **kwargs):
    """`seed` is the task's own, of its noise; the weights always start alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        recipe = {"optimizer": ADAMW, "schedule": ONE_CYCLE} | kwargs
        return Classify(Backbone(), spec_of(n_classes), seed=seed, **recipe)


class Trace(Callback):
    """Loss, learning rate and beta1 of every training batch; stops the fit dead before epoch `die_before`."""

    def __init__(self, die_before=None):
        self.rows, self.die_before = [], die_before

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.die_before:
            raise PowerCutError

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        group = trainer.optimizers[0].param_groups[0]
        self.rows.append((outputs["loss"].item(), group["lr"], group.get("betas", (None,))[0]))


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("save_on_train_epoch_end", [True, False])
def test_an_interrupted_and_resumed_fit_has_the_trace_of_an_uninterrupted_one(
    tmp_path, save_on_train_epoch_end
):
    """With dropout, a schedule over the whole fit, and another random state and other weights at the restart."""
    whole, before, after = Trace(), Trace(die_before=2), Trace()
    task = task_of()
    trainer(tmp_path, max_epochs=4, callbacks=[whole]).fit(task, datamodule=Data())

    def fit(task, trace, **kwargs):
        saver = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=save_on_train_epoch_end)
        saving = trainer(tmp_path, max_epochs=4, callbacks=[trace, saver], enable_checkpointing=True)
        saving.fit(task, datamodule=Data(), **kwargs)

    with pytest.raises(PowerCutError):
        fit(task_of(), before)
    resumed = task_of()
    torch.nn.init.zeros_(resumed.head.weight)
    torch.manual_seed(12345)
    fit(resumed, after, ckpt_path=tmp_path / "last.ckpt", weights_only=True)

    assert len(before.rows) == 10 and len(after.rows) == 10  # two epochs of five batches each
    assert before.rows + after.rows == whole.rows  # bit for bit
    for name, value in task.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_noise_depends_on_seed_and_place_alone(tmp_path):
    """Random numbers drawn by others between the batches change nothing; another seed changes everything."""

    class DrawMany(Callback):
        def on_train_batch_end(self, *_):
            torch.rand(7)

    def losses(seed, *callbacks):
        trace = Trace()
        trainer(tmp_path, max_epochs=1, callbacks=[trace, *callbacks]).fit(
            task_of(seed=seed), datamodule=Data()
        )
        return [loss for loss, *_ in trace.rows]

    first = losses(0)
    assert losses(0, DrawMany()) == first
    assert losses(1)[0] != first[0]


def test_every_batch_has_noise_of_its_own_also_within_an_accumulated_step(tmp_path):
    seen = []

    class Seeds(Callback):
        def on_train_batch_end(self, *_):
            seen.append(torch.initial_seed())

    trainer(tmp_path, max_epochs=2, accumulate_grad_batches=3, callbacks=[Seeds()]).fit(
        task_of(), datamodule=Data()
    )
    assert len(seen) == len(set(seen)) == 10


def test_the_schedule_spans_the_fit_in_optimiser_steps(tmp_path):
    """40 windows in batches of 8 over 4 epochs: 20 batches; 3 batches a step make 2 steps an epoch."""
    for accumulate, n_steps in ((1, 20), (3, 8)):
        asked = []

        def schedule(optimizer, total_steps, asked=asked):
            asked.append(total_steps)
            return one_cycle(optimizer, total_steps, max_lr=1e-2)

        task = task_of(schedule=schedule)
        fit = trainer(tmp_path, max_epochs=4, accumulate_grad_batches=accumulate)
        fit.fit(task, datamodule=Data())
        assert asked == [n_steps] and fit.global_step == n_steps
        assert task.lr_schedulers().last_epoch == n_steps


def test_a_schedule_refuses_a_fit_without_end(tmp_path):
    with pytest.raises(EegfmError, match="has no end"):
        trainer(tmp_path, max_epochs=-1, callbacks=[Trace(die_before=1)]).fit(task_of(), datamodule=Data())


def test_without_a_schedule_the_learning_rate_stays(tmp_path):
    trace = Trace()
    trainer(tmp_path, callbacks=[trace]).fit(task_of(schedule=None), datamodule=Data())
    assert {row[1:] for row in trace.rows} == {(1e-3, 0.9)}


def test_all_parameters_decay_in_one_group(tmp_path):
    """As published, biases and norms decay too."""
    fit, task = trainer(tmp_path, max_epochs=1), task_of()
    fit.fit(task, datamodule=Data())
    (group,) = fit.optimizers[0].param_groups
    assert group["weight_decay"] == 0.05
    assert {id(p) for p in group["params"]} == {id(p) for p in task.parameters()}


@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_the_optimiser_is_given_what_is_trained_once_and_nothing_that_is_frozen(tmp_path, decay):
    fit, task = trainer(tmp_path, max_epochs=1), task_of(freeze=True, decay=decay)
    fit.fit(task, datamodule=Data())
    given = {"all": [["weight", "bias"]], "matrices": [["weight"], ["bias"]]}[decay]
    names = {p: name for name, p in task.head.named_parameters()}
    groups = fit.optimizers[0].param_groups
    assert [[names[p] for p in group["params"]] for group in groups] == given
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0][: len(groups)]


def test_a_share_of_a_batch_counts_for_its_part(tmp_path):
    """One of several processes has such a share: half the weight gives half the step; the logged loss is its own."""

    class Shares(Windows):
        def __init__(self, part):
            super().__init__(8, 3, seed=0)
            self.part = part

        def __getitems__(self, rows):
            return super().__getitems__(rows)._replace(part=self.part)

    moved, losses = {}, {}
    for part in (1.0, 0.5):
        task, trace = task_of(optimizer=partial(SGD, lr=0.1, momentum=0.9), schedule=None), Trace()
        before = task.head.weight.detach().clone()
        trainer(tmp_path, max_epochs=1, callbacks=[trace]).fit(task, datamodule=Data(train=Shares(part)))
        moved[part], losses[part] = task.head.weight.detach() - before, trace.rows
    torch.testing.assert_close(moved[0.5], moved[1.0] / 2)
    assert moved[1.0].any() and losses[0.5] == losses[1.0]


def test_checkpoints_load_with_weights_only_and_carry_the_config(tmp_path):
    task = task_of()
    task.config_yaml = "seed: 0\nmodel: {width: 16}\n"
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(task, datamodule=Data())
    fit.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert checkpoint["config"] == task.config_yaml
    assert "hyper_parameters" not in checkpoint
    other = task_of(seed=5)
    other.load_state_dict(checkpoint["state_dict"])  # strict: the metric's windows are no part of it
    x, coords = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 3)
    assert torch.equal(other.eval()(x, coords), task.eval()(x, coords))
