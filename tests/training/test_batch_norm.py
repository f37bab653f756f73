"""Batch norms before a validation: their statistics are those of the training windows, and training is as without."""

from functools import partial

import torch
from lightning import Callback
from torch import nn
from torch.optim import AdamW
from torch.optim.swa_utils import update_bn

from eegfm.data.loaders import Loader, Order
from eegfm.data.loaders import Windows as RandomOrder
from eegfm.tasks.classify import Classify
from eegfm.training.batch_norm import ORDER, SettleBatchNorm
from tests.tasks.toy import Backbone, Data, Windows, spec_of, trainer


class Rows(Windows):
    def __getitem__(self, rows):
        return self.__getitems__(rows)


class Ordered(Data):
    """The training windows in an order of ours."""

    def loader(self, split):
        return Loader(self.splits[split], order()) if split == "train" else super().loader(split)


class AtValidation(Callback):
    """The state dict with which each validation is scored."""

    def __init__(self):
        self.states = []

    def on_validation_end(self, trainer, task):
        self.states.append({name: value.clone() for name, value in task.state_dict().items()})


def order() -> Order:
    return RandomOrder(40, 8, seed=5)


def fitted(folder, *callbacks, freeze=False):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = Backbone(dropout=0.3)
        backbone.layers[3].momentum = 0.01  # as braindecode's
        task = Classify(backbone, spec_of(3), optimizer=partial(AdamW, lr=1e-2), seed=0, freeze=freeze)
    watch = AtValidation()
    fit = trainer(folder, max_epochs=2, num_sanity_val_steps=0, callbacks=[*callbacks, watch])
    fit.fit(task, datamodule=Ordered(train=Rows(40, 3, seed=0)))
    return task, watch.states


def settled_by_torch(state) -> nn.BatchNorm1d:
    """The statistics that `torch.optim.swa_utils.update_bn` gives to these weights, without dropout."""
    layers = Backbone(dropout=0.0).layers
    layers.load_state_dict(
        {name.removeprefix("backbone.layers."): value for name, value in state.items() if "layers" in name}
    )
    batches = order()
    batches.set_epoch(ORDER)
    windows = Windows(40, 3, seed=0)
    update_bn([windows.x[rows] for rows in batches], layers)
    return layers[3]


def test_each_validation_is_scored_with_the_statistics_of_the_training_windows(tmp_path):
    task, states = fitted(tmp_path, SettleBatchNorm())
    assert len(states) == 2
    for state in states:
        expected = settled_by_torch(state)
        torch.testing.assert_close(state["backbone.layers.3.running_mean"], expected.running_mean)
        torch.testing.assert_close(state["backbone.layers.3.running_var"], expected.running_var)
    assert task.backbone.layers[3].momentum == 0.01
    _, without = fitted(tmp_path)
    far = without[-1]["backbone.layers.3.running_var"] - settled_by_torch(without[-1]).running_var
    assert far.abs().max() > 1, "a momentum of 0.01 has not come far in ten steps"


def test_training_itself_is_not_changed(tmp_path):
    with_it, without = fitted(tmp_path, SettleBatchNorm())[0], fitted(tmp_path)[0]
    for (name, one), (_, other) in zip(with_it.named_parameters(), without.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_frozen_layer_keeps_its_statistics(tmp_path):
    task, _ = fitted(tmp_path, SettleBatchNorm(), freeze=True)
    assert not task.backbone.layers[3].running_mean.any()
    assert not task.backbone.layers[3].training
