"""Embedding with MOMENT, and the adapter on its vectors: what trimming, batching and fusing are worth.

python -m tests.bench.embed [trim [small|base|large]] [batch] [adapter] [gpu]      on a quiet machine

Weights are random, which costs the same. Medians of runs in turns, in one process; CPU seconds stand beside wall time
because other work on a machine disturbs them less. "Share" is of the rate of the machine's own product of two large
matrices, in the same precision.
"""

import copy
import sys
from collections.abc import Callable

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from eegfm.contracts import Montage, SampleSpec
from eegfm.encoders.moment import CONTEXT, PATCH, PATCHES, SIZES, Moment, Size
from eegfm.models.stamp import Stamp
from eegfm.nn.pooling import AttentionPooling
from tests.bench.eegm2 import machine, synchronize
from tests.bench.scan import alternating, console

SERIES = {"small": 64, "base": 32, "large": 16}  # at once, on a CPU
CHANNELS, SECONDS, EMBEDDING = 64, 4, 1024  # PhysioNet-MI behind the large model
Work = Callable[[], object]


def noise(n: int, device: str = "cpu") -> Tensor:
    return 20 * torch.randn(n, 200, generator=torch.Generator().manual_seed(0)).to(device)


def trim(size: str = "small") -> None:
    """The 25 patches of a second alone, against all 64 with a mask."""
    n = SERIES[size]
    series = noise(n)
    moments = {
        name: Moment(size=size, weights="random", device="cpu", trim=name == "trimmed")
        for name in ("padded", "trimmed")
    }
    vectors = {name: moment.encode(series) for name, moment in moments.items()}
    works: dict[str, Work] = {name: lambda m=m: m.encode(series) for name, m in moments.items()}
    found = alternating(works, 5)
    table = Table(f"MOMENT-{size}, {n} series", "seconds (CPU)", "series/s (CPU)", "against padded (CPU)")
    for name, (wall, cpu) in found.items():
        ratios = (found["padded"][i] / t for i, t in enumerate((wall, cpu)))
        table.add_row(name, both(wall, cpu), both(n / wall, n / cpu, ".1f"), both(*ratios))
    apart = (vectors["padded"] - vectors["trimmed"]).abs().max()
    console.print(f"goal 2; largest difference of a number {apart:.1e}, on {machine('cpu')}")
    console.print(table)


def batch() -> None:
    """64 series at once, against one by one."""
    n = SERIES["small"]
    series, moment = noise(n), Moment(size="small", weights="random", device="cpu")
    found = alternating(
        {
            "one by one": lambda: [moment.encode(series[i : i + 1]) for i in range(n)],
            "batched": lambda: moment.encode(series),
        },
        3,
    )
    table = Table(
        f"MOMENT-small, {n} series", "seconds (CPU)", "series/s (CPU)", "against one by one (CPU)"
    )
    for name, (wall, cpu) in found.items():
        ratios = (found["one by one"][i] / t for i, t in enumerate((wall, cpu)))
        table.add_row(name, both(wall, cpu), both(n / wall, n / cpu, ".1f"), both(*ratios))
    console.print(table)


class LoopPooling(nn.Module):
    """The pooling of STAMP as its formulas read: a projection a head, then head by head and query by query."""

    def __init__(self, ours: AttentionPooling) -> None:
        super().__init__()
        self.projections = nn.ModuleList()
        for weight in ours.project.weight.chunk(ours.n_heads):
            self.projections.append(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
            self.projections[-1].weight.data.copy_(weight)
        self.queries = nn.Parameter(ours.queries.detach().clone())
        self.out_proj, self.dropout = copy.deepcopy(ours.out_proj), nn.Dropout(ours.dropout.p)
        self.residual_lambda = ours.residual_lambda

    def forward(self, tokens: Tensor) -> Tensor:
        pooled = []
        for projection, queries in zip(self.projections, self.queries, strict=True):
            projected = self.dropout(projection(tokens))  # batch token feature
            sums, outputs = [], []
            for query in queries:
                scores = projected @ query / len(query) ** 0.5
                attention = self.dropout(torch.softmax(scores, dim=-1))
                sums.append(attention.sum(dim=-1))
                outputs.append((attention[:, None] @ projected)[:, 0])
            weights = torch.softmax(torch.stack(sums, dim=-1), dim=-1)
            pooled.append((weights[..., None] * torch.stack(outputs, dim=1)).sum(dim=1))
        return self.out_proj(torch.cat(pooled, dim=-1)) + self.residual_lambda * tokens.mean(dim=1)


def adapters(device: str = "cpu") -> dict[str, Stamp]:
    """The same STAMP twice, once with the loop for its pooling."""
    montage = Montage(tuple(f"{i}" for i in range(CHANNELS)), np.zeros((CHANNELS, 3)))
    spec = SampleSpec(montage, (CHANNELS, SECONDS, EMBEDDING), 200.0, ("a", "b", "c", "d"))
    torch.manual_seed(0)
    fused = Stamp(spec)
    loop = copy.deepcopy(fused)
    assert isinstance(fused.pooling, AttentionPooling)
    loop.pooling = LoopPooling(fused.pooling)  # pyright: ignore[reportAttributeAccessIssue]
    return {"loop": loop.to(device), "fused": fused.to(device)}


def adapter(device: str = "cpu", n: int = 64, precision: str = "float32") -> None:
    """A training step (forward, backward) of the adapter and of its pooling, with the pooling fused and as loops."""
    x = torch.randn(n, CHANNELS, SECONDS, EMBEDDING, device=device)
    coords = torch.zeros(CHANNELS, 3, device=device)
    tokens = torch.randn(n, CHANNELS * SECONDS, 128, device=device)
    half = torch.autocast(device, getattr(torch, precision), enabled=precision != "float32")

    def step(module: nn.Module, forward: Callable[[], Tensor]) -> Work:
        def work() -> None:
            module.zero_grad(set_to_none=True)
            with half:
                out = forward()
            out.square().mean().backward()
            synchronize(device)

        return work

    models = adapters(device)
    title = f"STAMP, {CHANNELS} channels x {SECONDS} s x {EMBEDDING}, batch {n}, {precision}"
    table = Table(title, "pooling", "ms (CPU)", "windows/s (CPU)", "against loops (CPU)")
    for what in ("its pooling alone", "whole step"):
        works = {
            name: step(m.pooling, lambda m=m: m.pooling(tokens))
            if what == "its pooling alone"
            else step(m, lambda m=m: m.embed(x, coords))
            for name, m in models.items()
        }
        found = alternating(works, 5)
        for name, (wall, cpu) in found.items():
            ratios = (found["loop"][i] / t for i, t in enumerate((wall, cpu)))
            table.add_row(
                what,
                name,
                both(1e3 * wall, 1e3 * cpu, ".0f"),
                both(n / wall, n / cpu, ".0f"),
                both(*ratios),
            )
    console.print(f"goal 1.5, on {machine(device)}")
    console.print(table)


def gpu() -> None:
    """Series a second of every size, trimmed and padded, at float32 and bfloat16; and the adapter's step."""
    if not torch.cuda.is_available():
        console.print("no CUDA: not measured")
        return
    throughput("cuda")
    for precision in ("float32", "bfloat16"):
        adapter("cuda", 512, precision)


def throughput(device: str, sizes: tuple[str, ...] = tuple(SIZES), n: int = 16_384, runs: int = 3) -> None:
    table = Table("MOMENT", "precision", "path", "series/s", "TFLOP/s", "share", "from float32")
    for size in sizes:
        exact = None
        for precision in ("float32", "bfloat16"):
            rate = matmul_flop_s(device, precision)
            for trimmed in (False, True):
                moment = Moment(
                    size=size, weights="random", device=device, precision=precision, trim=trimmed
                )
                series = noise(n, device)
                vectors = moment.encode(series)
                exact = vectors if exact is None else exact
                apart = ((vectors - exact).norm() / exact.norm()).item()

                def work(moment=moment, series=series) -> None:
                    moment.encode(series)
                    synchronize(device)

                seconds = alternating({"": work}, runs)[""][0]
                flop_s = n * flop(SIZES[size], PATCHES if trimmed else CONTEXT // PATCH) / seconds
                table.add_row(
                    size,
                    precision,
                    "trimmed" if trimmed else "padded",
                    f"{n / seconds:,.0f}",
                    f"{flop_s / 1e12:.1f}",
                    f"{flop_s / rate:.0%}",
                    f"{apart:.1e}",
                )
    console.print(machine(device))
    console.print(table)


def flop(size: Size, tokens: int) -> float:
    """FLOPs of one series: two for each weight of a linear layer and token, and the two products of attention."""
    inner = 64 * size.heads
    linear = 4 * size.width * inner + 3 * size.width * size.ff_width
    return tokens * size.layers * 2 * (linear + 2 * tokens * inner)


def matmul_flop_s(device: str, precision: str) -> float:
    side = 8192 if device == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=getattr(torch, precision))

    def work() -> None:
        a @ a
        synchronize(device)

    return 2 * side**3 / alternating({"": work}, 7)[""][0]


def both(wall: float, cpu: float, form: str = ".2f") -> str:
    return f"{wall:{form}} ({cpu:{form}})"


def main(*names: str) -> None:
    known: dict[str, Callable[..., None]] = {"trim": trim, "batch": batch, "adapter": adapter, "gpu": gpu}
    words = list(names or known)
    while words:
        name = words.pop(0)
        known[name](*([words.pop(0)] if words and words[0] in SIZES else []))


if __name__ == "__main__":
    main(*sys.argv[1:])
