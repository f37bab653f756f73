"""What `make bench ARGS=embed` compares is the same thing, and its GPU part runs where there is none."""

import importlib.util

import pytest
import torch

from tests import benchmarks_embed as bench
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


def test_the_work_of_a_series_is_that_of_its_linear_layers():
    """The small model's 18.87 million weights, twice, for 25 tokens; attention adds little at this length."""
    linear = 2 * 25 * 18_874_368
    assert linear < bench.flop(bench.SIZES["small"], 25) < 1.03 * linear


def test_without_cuda_the_gpu_part_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench.gpu()
    assert "no CUDA: not measured" in capsys.readouterr().out


@pytest.mark.slow
@needs_transformers
def test_the_gpu_part_runs_on_a_cpu_in_small(capsys, monkeypatch):
    from tests.encoders.tiny import TINY

    monkeypatch.setitem(bench.SIZES, "tiny", TINY)
    bench.throughput("cpu", ("tiny",), n=3, runs=1)
    said = capsys.readouterr().out
    assert "bfloat16" in said and "nan" not in said
