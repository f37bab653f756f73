"""The plain loop of `make bench ARGS=harness` is the same training: else the comparison would say nothing."""

import json

import pytest

from tests.bench.harness import as_a_cell, composed, losses, plainly


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ["encoder=spectrum", "model=stamp", "model.depth=1", "model.width=16", "model.ff_width=16"],
        pytest.param(["model=eegm2", "task=classify", "model.width_scale=8"], marks=pytest.mark.long),
    ],
)
def test_a_cell_has_the_losses_and_scores_of_the_same_loop_in_plain_pytorch(tmp_path, model):
    config, choices = composed([*model, "trainer.max_epochs=2"], tmp_path)
    trace, found = plainly(config)
    as_a_cell(config, choices, tmp_path / "run")
    assert losses(tmp_path / "run") == trace
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for split, metrics in found.items():
        assert result["metrics"][split] == pytest.approx(metrics, abs=1e-12)
