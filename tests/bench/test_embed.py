"""What `make bench ARGS=embed` compares is the same thing, and its GPU part runs in small."""

import importlib.util

import pytest
import torch

from tests.bench import embed as bench
from tests.nn.tokens import randn

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed: make setup-tsfm",
)


def test_the_loop_over_heads_and_queries_is_the_same_pooling():
    models = {name: model.eval() for name, model in bench.adapters().items()}
    x, coords = randn(2, bench.CHANNELS, bench.SECONDS, bench.EMBEDDING), torch.zeros(bench.CHANNELS, 3)
    with torch.no_grad():
        found = {name: model.embed(x, coords) for name, model in models.items()}
    torch.testing.assert_close(found["fused"], found["loop"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@needs_transformers
def test_the_gpu_part_runs_on_a_cpu_in_small(capsys, monkeypatch):
    from tests.encoders.tiny import TINY

    monkeypatch.setitem(bench.SIZES, "tiny", TINY)
    bench.throughput("cpu", ("tiny",), n=3, runs=1)
    said = capsys.readouterr().out
    assert "bfloat16" in said and "nan" not in said
