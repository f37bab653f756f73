"""braindecode's networks train through the product as in a loop of one's own."""

import numpy as np
import pytest

from tests.bench.harness import composed

SMALL = ["data=synthetic", "model=braindecode", "trainer.max_epochs=3", "data.batch_size=48", "seed=3"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", ["EEGNet", "ShallowFBCSPNet", "Deep4Net"])
def test_a_network_of_braindecode_has_the_curves_and_scores_of_a_plain_loop(tmp_path, name):
    pytest.importorskip("braindecode.models", reason="braindecode is not installed")
    from tests.bench.braindecode import plainly, through_us

    config, choices = composed([*SMALL, f"model.name={name}"], tmp_path)
    trace, curve, scores = plainly(config)
    our_trace, our_curve, our_scores = through_us(config, choices, tmp_path / "run")
    assert len(trace) == len(our_trace) == 30 and len(curve) == 3
    np.testing.assert_allclose(our_trace, trace, atol=1e-6)
    np.testing.assert_allclose(our_curve, curve, atol=1e-5)
    assert our_scores == pytest.approx(scores, abs=1e-9)
