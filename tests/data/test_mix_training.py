"""What is trained and scored on a mix: errors of each corpus, masks, and a fit that is resumed."""

from functools import partial

import numpy as np
import pytest
import torch

from eegfm.nn.masks import Spans
from eegfm.tasks.reconstruct import Reconstruct
from tests.data.small_mix import FIRST, mix, task_of
from tests.tasks.toy import trainer


def test_errors_are_of_the_whole_and_of_each_corpus(places, tmp_path):
    """The backbone halves everything, so the error is half of the windows' own size, whatever their length."""
    data = mix(places)
    task = task_of(data, 0.5)
    (logged,) = trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    square = {name: part.__getitems__(range(len(part))).x.square().mean((1, 2)).numpy() / 4
              for name, part in data.datasets("val").items()}  # fmt: skip
    for name, values in {
        **{f"/{n}": v for n, v in square.items()},
        "": np.concatenate([*square.values()]),
    }.items():
        assert logged[f"val/rmse_uv{name}"] == pytest.approx(np.sqrt(values.mean()), rel=1e-5)
        assert logged[f"val/loss{name}"] == pytest.approx(values.mean() / 30**2, rel=1e-4)
    assert "val/acmse" not in logged  # an average of windows of one length
    assert task.outputs.metrics() == pytest.approx(
        {k.removeprefix("val/"): v for k, v in logged.items() if k != "val/mse"}, rel=1e-5
    )


def test_one_corpus_in_a_mix_is_scored_as_the_corpus_alone(places, tmp_path):
    data = mix(places, FIRST)
    (logged,) = trainer(tmp_path).validate(task_of(data, 0.5), datamodule=data, verbose=False)
    alone = data.corpora["first"]
    (own,) = trainer(tmp_path).validate(task_of(alone, 0.5), datamodule=alone, verbose=False)
    assert "val/acmse" in own
    for name, value in own.items():
        assert logged[name] == pytest.approx(value, rel=1e-6), name


def test_a_window_is_masked_as_in_its_own_benchmark(places, tmp_path):
    """Then the error of a corpus in a mix can be compared with that of a run on the corpus alone."""
    mask = partial(Spans, ratio=0.5, span_s=0.2)
    data = mix(places)
    (logged,) = trainer(tmp_path).validate(task_of(data, 0.5, mask), datamodule=data, verbose=False)
    alone = data.corpora["first"]
    (own,) = trainer(tmp_path).validate(task_of(alone, 0.5, mask), datamodule=alone, verbose=False)
    for name in ("loss", "hidden_rmse_uv", "interpolation_rmse_uv", "r2"):
        assert logged[f"val/{name}/first"] == pytest.approx(own[f"val/{name}"], rel=1e-6)


def test_a_resumed_fit_draws_the_same_order_and_ends_with_the_same_weights(places, tmp_path):
    class Notes(Reconstruct):
        def training_step(self, batch, batch_idx):
            self.seen = [*getattr(self, "seen", []), (batch.corpus, *batch.key)]
            return super().training_step(batch, batch_idx)

    def fitted(epochs: int, ckpt=None):
        data = mix(places)
        task = task_of(data, mask=partial(Spans, ratio=0.5, span_s=0.2))
        task.__class__ = Notes
        fit = trainer(tmp_path, max_epochs=epochs)
        fit.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        return fit, task

    _, whole = fitted(3)
    fit, begun = fitted(1)
    fit.save_checkpoint(tmp_path / "one.ckpt")
    _, resumed = fitted(3, tmp_path / "one.ckpt")
    assert begun.seen + resumed.seen == whole.seen and len(whole.seen) == 3 * 9
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
