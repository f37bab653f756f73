import math
from functools import partial

import numpy as np
import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.optim import AdamW

from eegfm.contracts import EegfmError
from eegfm.tasks.classify import Classify, inverse_frequency
from eegfm.tasks.metrics import monitor_of, scores

from .toy import N_SUBJECTS, SIZES, Backbone, Data, Windows, spec_of, trainer

ADAMW = partial(AdamW, lr=1e-2)


def task_of(n_classes=3, backbone=Backbone, **kwargs):
    """The weights always start alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Classify(backbone(), spec_of(n_classes), **({"optimizer": ADAMW, "seed": 0} | kwargs))


def logits_of(task, windows):
    with torch.no_grad():
        return task.eval()(windows.x, torch.zeros(3, 3))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_separable_problem_is_learned(tmp_path, n_classes):
    task, data = task_of(n_classes), Data(n_classes)
    fit = trainer(tmp_path, max_epochs=15)
    untrained = fit.test(task, datamodule=data, verbose=False)[0]["test/balanced_accuracy"]
    fit.fit(task, datamodule=data)
    (result,) = fit.test(task, datamodule=data, verbose=False)
    assert untrained < 0.8 < 0.95 < result["test/balanced_accuracy"]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logged_values_are_of_the_whole_split_and_outputs_keep_the_loaders_order(tmp_path, n_classes):
    """Oracle: one forward pass over the split at once. 22 windows in batches of 8, 8, 6."""
    task, data = task_of(n_classes, label_smoothing=0.0), Data(n_classes)
    fit = trainer(tmp_path, max_epochs=2)
    fit.fit(task, datamodule=data)
    for split, run in (("val", fit.validate), ("test", fit.test)):
        (result,) = run(task, datamodule=data, verbose=False)
        windows = data.splits[split]
        logits = logits_of(task, windows)
        if n_classes == 2:
            loss = F.binary_cross_entropy(torch.sigmoid(logits[:, 0]), windows.label.float())
            probability = torch.stack([torch.sigmoid(-logits[:, 0]), torch.sigmoid(logits[:, 0])], dim=1)
        else:
            loss = F.nll_loss(F.log_softmax(logits, dim=1), windows.label)
            probability = logits.softmax(dim=1)
        expected = scores(probability.double().numpy(), windows.label.numpy(), n_classes) | {
            "loss": loss.item()
        }
        assert result == pytest.approx({f"{split}/{k}": v for k, v in expected.items()}, rel=1e-5)

        assert task.outputs.keys == [f"window{i}" for i in range(SIZES[split])]
        np.testing.assert_array_equal(task.outputs.label, windows.label)
        np.testing.assert_array_equal(task.outputs.subject, np.arange(SIZES[split]) % N_SUBJECTS)
        np.testing.assert_allclose(task.outputs.probability, probability, rtol=1e-5)

    batches = fit.predict(task, datamodule=data)
    # of the same logits, in float64: by batch, and for the split at once
    np.testing.assert_allclose(torch.cat(batches), task.outputs.probability, rtol=1e-14)
    np.testing.assert_allclose(
        task.outputs.probability, probability, rtol=1e-5
    )  # predict reads the test split here
    assert task.outputs.keys == [f"window{i}" for i in range(SIZES["test"])]


def test_the_training_loss_is_logged_by_step_and_by_epoch(tmp_path):
    losses = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            losses.append(outputs["loss"].item())
            assert trainer.callback_metrics["train/loss_step"] == outputs["loss"]

    fit = trainer(tmp_path, max_epochs=1, callbacks=[Losses()])
    fit.fit(task_of(), datamodule=Data(train=Windows(22, 3, seed=0)))
    mean = np.average(losses, weights=[8, 8, 6])  # over windows
    assert fit.callback_metrics["train/loss_epoch"].item() == pytest.approx(mean, rel=1e-6)
    assert not any("accuracy" in name and name.startswith("train") for name in fit.callback_metrics)


@pytest.mark.parametrize("freeze", [True, False])
def test_freezing_keeps_the_backbone_bit_identical(tmp_path, freeze):
    """Weights and running statistics; unfrozen, every one of them moves, so the comparison can fail."""
    task = task_of(freeze=freeze)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    trainer(tmp_path).fit(task, datamodule=Data())
    for name, value in task.state_dict().items():
        if name != "class_weight":  # of the data, not of training
            assert torch.equal(value, before[name]) == (freeze and name.startswith("backbone.")), name
    assert all(p.grad is None for p in task.backbone.parameters()) or not freeze


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_the_last_tensors_of_a_backbone_are_trained_and_no_others(tmp_path, count):
    """Counted from the end of `named_parameters()`: the batch norm's bias first, then its weight, ..."""
    task = task_of(last_tensors=count)
    before = {name: p.detach().clone() for name, p in task.backbone.named_parameters()}
    trainer(tmp_path, max_epochs=1).fit(task, Data(3))
    moved = [name for name, p in task.backbone.named_parameters() if not torch.equal(p, before[name])]
    assert moved == list(before)[len(before) - count :]


def test_a_frozen_head_stays_as_it_was_drawn_and_the_backbone_learns_under_it(tmp_path):
    task = task_of(freeze_head=True, hidden=[8], activation="relu")
    before = {name: value.clone() for name, value in task.state_dict().items()}
    trainer(tmp_path, max_epochs=1).fit(task, Data(3))
    moved = {name for name, p in task.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, _ in task.named_parameters() if name.startswith("backbone.")}


def test_what_only_gives_windows_back_is_not_trained(tmp_path):
    """It gets no gradient from a classifier; the optimiser must not decay it either."""

    class GivesBack(Backbone):
        decoder = ("back",)

        def __init__(self):
            super().__init__()
            self.back = nn.Linear(2, 2)

    task = task_of(backbone=GivesBack)
    kept = {name for name, p in task.named_parameters() if not p.requires_grad}
    assert kept == {"backbone.back.weight", "backbone.back.bias"}
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(task, datamodule=Data())
    given = {p for group in fit.optimizers[0].param_groups for p in group["params"]}
    assert given == {p for p in task.parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"last_tensors": 5}, "has 4 parameter tensors. Type a number from 0 to 4"),
        ({"last_tensors": -1}, "has 4 parameter tensors"),
        ({"freeze": True, "freeze_head": True}, "Nothing is left to train"),
        ({"last_tensors": 0, "freeze_head": True}, "Nothing is left to train"),
    ],
)
def test_what_cannot_be_trained_is_said(choice, sentence):
    with pytest.raises(EegfmError, match=sentence):
        task_of(**choice)


def test_a_frozen_backbone_has_no_dropout_in_training(tmp_path):
    task = task_of(freeze=True).train()
    x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    assert task.head.training and not task.backbone.training
    assert torch.equal(task(x, torch.zeros(3, 3)), task(x, torch.zeros(3, 3)))


def test_label_smoothing_is_for_more_than_two_classes_only():
    logits, label = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    log_p = logits.log_softmax(dim=1)[0]
    smoothed = -(0.9 * log_p[0] + 0.1 * log_p.mean())  # 0.9 on the label, 0.1 spread over all three
    assert task_of(3).loss(logits, label).item() == pytest.approx(smoothed.item())  # 0.1 is the default
    assert task_of(3, label_smoothing=0.0).loss(logits, label).item() == pytest.approx(-log_p[0].item())
    for smoothing in (0.0, 0.1):
        loss = task_of(2, label_smoothing=smoothing).loss(torch.tensor([[2.0]]), torch.tensor([1]))
        assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_the_head_is_the_published_one():
    """Linear and ELU a hidden layer, dropout after every one but the last (STAMP reference); else one linear."""
    assert repr(task_of(5).head) == repr(nn.Linear(16, 5))
    assert repr(task_of(2).head) == repr(nn.Linear(16, 1))
    head = task_of(4, hidden=[12, 8, 6], dropout=0.2).head
    expected = nn.Sequential(
        *(nn.Linear(16, 12), nn.ELU(), nn.Dropout(0.2), nn.Linear(12, 8), nn.ELU(), nn.Dropout(0.2)),
        *(nn.Linear(8, 6), nn.ELU(), nn.Linear(6, 4)),
    )
    assert repr(head) == repr(expected)
    assert repr(task_of(4, hidden=[12], dropout=0.2).head) == repr(
        nn.Sequential(nn.Linear(16, 12), nn.ELU(), nn.Linear(12, 4))
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_split_of_one_class_does_not_stop_a_fit(tmp_path, n_classes):
    """AUROC is then NaN, and kappa is where the model agrees; a checkpoint callback that watches it must live on."""
    ones = Windows(9, n_classes, seed=5, labels=torch.ones(9, dtype=torch.long))
    name, mode = monitor_of(spec_of(n_classes).classes)
    saver = ModelCheckpoint(dirpath=tmp_path, monitor=f"val/{name}", mode=mode)
    fit = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True, num_sanity_val_steps=1)
    fit.fit(task_of(n_classes), datamodule=Data(n_classes, val=ones))
    assert f"val/{name}" in fit.callback_metrics
    if n_classes == 2:
        assert fit.callback_metrics["val/auroc"].isnan()
    assert saver.best_model_path


def test_training_windows_of_one_class_are_refused(tmp_path):
    alone = Windows(40, 3, seed=0, labels=torch.full((40,), 2))
    with pytest.raises(EegfmError, match=r"All 40 training windows are of one class"):
        trainer(tmp_path, max_epochs=1).fit(task_of(), Data(3, train=alone))


def test_a_diverged_model_is_an_error_and_not_a_score(tmp_path):
    task = task_of()
    task.head.bias.data.fill_(float("nan"))
    with pytest.raises(EegfmError, match="22 of 22 windows: training has diverged"):
        trainer(tmp_path).validate(task, datamodule=Data(), verbose=False)


@pytest.mark.parametrize("n_classes", [0, 1])
def test_fewer_than_two_classes_are_refused(n_classes):
    with pytest.raises(EegfmError, match=f"at least two classes, and this data set names {n_classes}"):
        task_of(n_classes)


class Standardising(Backbone):
    """Centres by the training split's mean, which it learns from `fit_input`."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((3, 8), float("nan")))
        self.n_fitted = 0

    def fit_input(self, batches):
        batches = list(batches)
        self.order = torch.cat(batches)
        self.mean.copy_(self.order.mean(dim=0))
        self.n_fitted += 1

    def embed(self, x, coords):
        return super().embed(x - self.mean, coords)


def test_a_backbone_that_fits_its_input_sees_the_training_split_in_stored_order(tmp_path):
    task, data = task_of(backbone=Standardising), Data()
    trainer(tmp_path).fit(task, datamodule=data)
    assert task.backbone.n_fitted == 1
    assert torch.equal(task.backbone.order, data.splits["train"].x)


@pytest.mark.parametrize("scale", [30.0, "quantile"])
def test_the_backbone_and_what_it_is_fitted_by_see_windows_divided_by_the_scale(tmp_path, scale):
    task, plain = task_of(scale=scale, backbone=Standardising), task_of(backbone=Standardising)
    data, coords = Data(), torch.zeros(3, 3)
    trainer(tmp_path, max_epochs=1).fit(task, datamodule=data)
    x = data.splits["train"].x
    divided = x / (30 if scale == 30.0 else x.abs().quantile(0.95, dim=-1, keepdim=True) + 1e-8)
    torch.testing.assert_close(task.backbone.order, divided)
    plain.load_state_dict(task.state_dict())
    torch.testing.assert_close(task.eval()(x, coords), plain.eval()(divided, coords))


def test_a_resumed_fit_keeps_the_input_statistics_of_its_checkpoint(tmp_path):
    """Were they fitted again, a training split that has changed meanwhile would change the network's function."""
    task = task_of(backbone=Standardising)
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(task, datamodule=Data())
    fit.save_checkpoint(tmp_path / "a.ckpt")
    resumed = task_of(backbone=Standardising)
    other = Data(train=Windows(40, 3, seed=77))
    trainer(tmp_path, max_epochs=2).fit(
        resumed, datamodule=other, ckpt_path=tmp_path / "a.ckpt", weights_only=True
    )
    assert resumed.backbone.n_fitted == 0
    assert torch.equal(resumed.backbone.mean, task.backbone.mean)


def test_a_resumed_fit_keeps_the_class_weights_of_its_checkpoint(tmp_path):
    """Were they counted again, a training split that has changed meanwhile would change the loss."""
    task, data = task_of(balanced=True), Data()
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(task, datamodule=data)
    torch.testing.assert_close(task.class_weight, inverse_frequency(data.class_counts()))
    fit.save_checkpoint(tmp_path / "a.ckpt")
    resumed, other = task_of(balanced=True), Data(train=Windows(40, 3, seed=77))
    assert not torch.equal(other.class_counts(), data.class_counts())
    trainer(tmp_path, max_epochs=2).fit(
        resumed, datamodule=other, ckpt_path=tmp_path / "a.ckpt", weights_only=True
    )
    assert torch.equal(resumed.class_weight, task.class_weight)


def test_a_backbone_that_fits_its_input_says_what_it_misses(tmp_path):
    data = Data()
    with pytest.raises(EegfmError, match=r"no data module with train_inputs\(\)"):
        trainer(tmp_path).fit(
            task_of(backbone=Standardising), data.train_dataloader(), data.val_dataloader()
        )


def test_balanced_weighs_classes_alike_whatever_their_number():
    """Nine windows of one class and three of the other: the same total weight, and a mean weight of one."""
    weight = inverse_frequency(torch.tensor([9, 3]))
    torch.testing.assert_close(weight, torch.tensor([12 / 18, 12 / 6]))
    assert (weight * torch.tensor([9, 3])).sum() == 12
    assert inverse_frequency(torch.tensor([4, 0, 4])).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_balanced_loss_is_a_mean_over_windows_whatever_the_batches(n_classes):
    task = task_of(n_classes)
    task.class_weight.copy_(torch.linspace(0.5, 2, n_classes))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 1 if n_classes == 2 else n_classes, generator=generator)
    label = torch.randint(n_classes, (8,), generator=generator)
    parts = [task.loss(logits[i : i + 2], label[i : i + 2]) for i in range(0, 8, 2)]
    torch.testing.assert_close(torch.stack(parts).mean(), task.loss(logits, label))
    plain = task_of(n_classes)
    alone = torch.stack([plain.loss(logits[i : i + 1], label[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(task.loss(logits, label), (task.class_weight[label] * alone).mean())
