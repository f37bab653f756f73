"""The GPU part of `make bench ARGS=eegm2` runs in small, also where there is no GPU."""

import pytest
import torch

from tests.bench import eegm2 as bench


@pytest.mark.slow
def test_the_gpu_part_runs_on_a_cpu_in_small(capsys):
    bench.scans("cpu", times=(70,), batch=1, runs=1)
    bench.throughput("cpu", cases=((1, 64),), scale=8)
    assert bench.longest("cpu", 64, 128) == 128
    said = capsys.readouterr().out
    assert all(word in said for word in ("bfloat16", "chunked", "million", "128 time steps"))


@pytest.mark.gpu
@pytest.mark.slow
def test_the_gpu_part_runs_on_a_gpu_in_small(capsys):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    bench.scans("cuda", times=(256,), batch=2, runs=2)
    bench.throughput("cuda", cases=((2, 256),))
    assert "nan" not in capsys.readouterr().out
