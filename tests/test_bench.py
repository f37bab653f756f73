"""What `make bench ARGS=eegm2` computes around its measurements, and that its GPU part runs where there is none."""

import math

import pytest
import torch

from tests import benchmarks_eegm2 as bench
from tests.benchmarks_eegm2 import FLASH, LIGHT, OURS, THEIRS, Point, crossover


def points(*lengths: int) -> list[Point]:
    """Ours takes T, attention T²/1000: they meet at 1,000, and what is longest does not fit."""
    found = []
    for n in lengths:
        found += [Point(name, n, n, n, n, 1) for name in (OURS, LIGHT, FLASH)]
        does_not_fit = n == max(lengths)
        found.append(
            Point(THEIRS, n, n**2 / 1000, n**2 / 1000, math.nan if does_not_fit else n**2 / 1000, 1)
        )
    return found


def test_the_crossover_of_lines_and_squares_is_found_between_lengths():
    made = points(100, 300, 2700, 8100)
    assert crossover(bench.ratios(made, THEIRS, "seconds")) == pytest.approx(1000)
    assert bench.ratios(made, THEIRS, "megabytes").keys() == {100, 300, 2700}
    assert crossover(bench.ratios(points(100, 300), THEIRS, "seconds")) is None


def test_the_figure_ends_a_network_where_it_did_not_fit(tmp_path):
    made = points(100, 300, 2700, 8100)
    figure = bench.over_length(made, "a machine")
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[1].get_lines()}
    assert {name: len(line) for name, line in lines.items()} == {OURS: 4, LIGHT: 4, THEIRS: 3, FLASH: 4}
    assert lines[THEIRS].tolist() == [[100, 10], [300, 90], [2700, 7290]]
    assert "a machine" in figure.get_suptitle()


@pytest.mark.slow
def test_the_parts_of_a_step_are_all_its_convolutions_linear_layers_and_scans():
    """Sizes of EEGM2: 11 linear layers (two a Mamba-2, three more), 10 convolutions and one a Mamba-2, four scans."""
    work, parts = bench._step(1, 64)
    kinds = [part.kind for part in parts]
    assert {kind: kinds.count(kind) for kind in bench.KINDS} == {"convolution": 14, "linear": 11, "scan": 4}
    bench._replay(parts)
    work()


def test_without_cuda_the_gpu_part_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench.gpu()
    assert "no CUDA: not measured" in capsys.readouterr().out


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
