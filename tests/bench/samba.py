"""SAMBA in time and memory: its grouped layer against a loop, over the length of a window, and what masking costs.

python -m tests.bench.samba [grouped|lengths|cost|gpu]      on a quiet machine

Medians of runs in turns, in one process. Memory is, on the CPU, the peak of a process of its own above what it held
before. The Transformer is torch's own encoder of about as many parameters, on every sample, with torch's fastest
attention; EEGM2 is the one of half its width, whose widest layers are SAMBA's.
"""

import subprocess
import sys
from collections.abc import Callable

import torch
from rich.table import Table
from torch import Tensor, nn

from eegfm.nn.diff_mamba import DiffMamba
from eegfm.nn.masks import Semantic
from tests.bench.eegm2 import machine
from tests.bench.scan import BOTH, FORWARD, alternating, console, import_once, peak
from tests.models.samba import CAP, coords_of, ours, spec_of
from tests.nn.differential import pair

SIZES = ((1, 512, 15), (8, 512, 5), (1, 4096, 5), (32, 125, 5))  # batch, moments, turns
LENGTHS = (1280, 12_800, 65_536)
TRANSFORMER_LONGEST = 12_800  # on a CPU: the square of what is beyond takes minutes


def grouped() -> None:
    """Differential Mamba at the published sizes: all 16 networks as one, against a loop over them."""
    table = Table("B, T", "", "loop, CPU ms", "grouped", "ratio")
    for batch, length, turns in SIZES:
        loop, together = pair(dtype=torch.float32)
        x = torch.randn(batch, length, 128)
        for what in (FORWARD, BOTH):
            works = {"loop": works_of(loop, x, what), "grouped": works_of(together, x, what)}
            found = {name: 1000 * cpu for name, (_, cpu) in alternating(works, turns).items()}
            ratio = found["loop"] / found["grouped"]
            table.add_row(f"{batch}, {length}", what, *(f"{v:.0f}" for v in found.values()), f"{ratio:.2f}")
    console.print(f"differential Mamba, one thread, on {machine('cpu')}; goals 2 at B=1 T=512, 1.5 at B=8")
    console.print(table)


def works_of(module: nn.Module, x: Tensor, what: str) -> Callable[[], None]:
    def work() -> None:
        with torch.set_grad_enabled(what == BOTH):
            y = module(x)
            if what == BOTH:
                y.square().mean().backward()

    return work


class Transformer(nn.Module):
    """About as large as Samba: five layers of 128 features on every sample."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.enter, self.leave = nn.Linear(n_channels, 128), nn.Linear(128, n_channels)
        self.layers = nn.TransformerEncoder(layer, 5)

    def forward(self, x: Tensor, coords: Tensor) -> Tensor:
        return self.leave(self.layers(self.enter(x.transpose(1, 2)))).transpose(1, 2)


def network(name: str) -> nn.Module:
    from eegfm.models.eegm2 import Eegm2

    torch.manual_seed(0)
    if name == "Transformer":
        return Transformer(len(CAP.names))
    return ours(CAP) if name == "SAMBA" else Eegm2(spec_of(CAP), width_scale=2)


def training_pass(name: str, length: int, device: str = "cpu") -> Callable[[], None]:
    model = network(name).to(device)
    x, coords = torch.randn(1, len(CAP.names), length, device=device), coords_of(CAP).to(device)

    def work() -> None:
        model(x, coords).square().mean().backward()
        model.zero_grad()

    return work


def lengths() -> None:
    """One window of 64 channels, forward and backward: seconds and memory over its length."""
    names = ("SAMBA", "EEGM2", "Transformer")
    table = Table("T", *(f"{name}: CPU s" for name in names), *(f"{name}: peak MB" for name in names))
    for length in LENGTHS:
        of = [name for name in names if name != "Transformer" or length <= TRANSFORMER_LONGEST]
        memory = {}
        for name in of:
            command = [sys.executable, "-m", "tests.bench.samba", "one", name, str(length)]
            done = subprocess.run(command, capture_output=True, text=True)
            memory[name] = float(done.stdout.split()[0]) if done.returncode == 0 else float("nan")
        works = {name: training_pass(name, length) for name in of}
        import_once()
        times = alternating(works, 3 if length < 20_000 else 1)
        row = [f"{times[name][1]:.2f}" if name in times else "-" for name in names]
        table.add_row(f"{length:,}", *row, *(f"{memory[n]:,.0f}" if n in memory else "-" for n in names))
    sizes = ", ".join(f"{name} {sum(p.numel() for p in network(name).parameters()):,}" for name in names)
    console.print(f"B=1, {BOTH}, on {machine('cpu')}; parameters: {sizes}; goal for SAMBA at 12,800: 1.5 s")
    console.print(table)


def one(name: str, length: str) -> None:
    import_once()
    training_pass(name, 64)()
    print(*peak(training_pass(name, int(length))))


def cost() -> None:
    """Masking and the order of a mix of three corpora, against a training step of the whole network."""
    from eegfm.data.mixing.batches import Batches

    model, coords = ours(CAP), coords_of(CAP)
    x = 30 * torch.randn(16, len(CAP.names), 1000)
    mask = Semantic(spec_of(CAP, 1000), ratio=0.5, n_visible=8)
    order = Batches({"a": 5000, "b": 3000, "c": 2000}, 16, seed=1)

    def step() -> None:
        model(x, coords).square().mean().backward()
        model.zero_grad()

    found = alternating({"step": step, "mask": lambda: mask(x), "order": lambda: list(order)}, 5)
    a_step = found["step"][1]
    table = Table("of a CPU step of 16 x 64 x 1,000", "ms", "share")
    for name, seconds in (
        ("masking", found["mask"][1]),
        ("order, a batch", found["order"][1] / len(order)),
    ):
        table.add_row(name, f"{1000 * seconds:.2f}", f"{seconds / a_step:.2%}")
    console.print(f"a step takes {a_step:.2f} CPU s on {machine('cpu')}; goal: under 3 % in all")
    console.print(table)


def gpu() -> None:
    """The whole network in float32 and bfloat16, and the layer against its loop, on a GPU."""
    if not torch.cuda.is_available():
        console.print("no CUDA: not measured")
        return
    table = Table("", "ms", title=machine("cuda"))
    for length in LENGTHS:
        for dtype in (torch.float32, torch.bfloat16):
            work = training_pass("SAMBA", length, "cuda")

            def timed(work: Callable[[], None] = work, dtype: torch.dtype = dtype) -> None:
                with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
                    work()
                torch.cuda.synchronize()

            wall, _ = alternating({"": timed}, 5)[""]
            table.add_row(f"SAMBA, T={length:,}, {dtype}", f"{1000 * wall:.1f}")
    for batch, length, turns in SIZES:
        loop, together = (module.to("cuda") for module in pair(dtype=torch.float32))
        x = torch.randn(batch, length, 128, device="cuda")

        def synced(module: nn.Module, x: Tensor = x) -> Callable[[], None]:
            work = works_of(module, x, BOTH)

            def both() -> None:
                work()
                torch.cuda.synchronize()

            return both

        found = alternating({"loop": synced(loop), "grouped": synced(together)}, turns)
        for name, (wall, _) in found.items():
            table.add_row(f"{name}, B={batch} T={length}", f"{1000 * wall:.1f}")
    assert isinstance(together, DiffMamba)
    console.print(table)


PARTS: dict[str, Callable[..., None]] = {"grouped": grouped, "lengths": lengths, "cost": cost, "gpu": gpu}


def main(*arguments: str) -> None:
    if arguments and arguments[0] == "one":
        one(*arguments[1:])
        return
    torch.set_num_threads(1)
    for name in arguments or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
