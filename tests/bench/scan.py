"""How fast the Mamba-2 layer is and how much it needs: against the recurrence, transformers, and itself kept whole.

python -m tests.bench.scan [speed|memory|length]      on a quiet machine; all three take about two minutes

Times are medians of runs that alternate between what is compared, in one process; CPU seconds stand beside wall time
because other work on the machine disturbs them less. Memory is the peak of a process of its own, above what it held
before. The sizes are those of a level of EEGM2: d_model 64, expand 8, heads of 64, 16 states, a convolution over 2.
"""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.checkpoint import checkpoint

from eegfm.nn import ssd
from eegfm.nn.mamba2 import Mamba2
from tests.nn.scans import scan_inputs

console = Console(highlight=False)
Works = dict[str, Callable[[], object]]
FORWARD, BOTH = "forward", "forward and backward"
SIZES = {"d_state": 16, "d_conv": 2, "expand": 8, "headdim": 64}


def alternating(works: Works, runs: int, *, warm: bool = True) -> dict[str, tuple[float, float]]:
    """Median wall and CPU seconds of each, taken in turns; `warm`: after one turn that is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(0 if warm else 1, runs + 1):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            if turn:
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t))
        for name, t in taken.items()
    }


def layer(**options) -> Mamba2:
    torch.manual_seed(0)
    return Mamba2(64, **SIZES, **options)


def scans(form: Callable[..., tuple[torch.Tensor, torch.Tensor]], length: int) -> Works:
    *inputs, _ = scan_inputs(1, length, 8, 64, 1, 16, dtype=torch.float32)

    def forward() -> None:
        with torch.no_grad():
            form(*inputs)

    def both() -> None:
        form(*inputs)[0].sum().backward()

    return {FORWARD: forward, BOTH: both}


def passes(module: nn.Module, batch: int, length: int) -> Works:
    u = torch.randn(batch, length, 64, requires_grad=True)

    def forward() -> None:
        with torch.no_grad():
            module(u)

    def both() -> None:
        module(u).sum().backward()

    return {FORWARD: forward, BOTH: both}


def compare(title: str, ours: Works, theirs: Works, runs: int, goals: dict[str, str]) -> None:
    """One table: theirs over ours, forward and with the gradient."""
    console.print(f"{title}, {torch.get_num_threads()} threads")
    table = Table("", "ours, ms (CPU)", "theirs, ms (CPU)", "ratio (CPU)", "goal")
    for kind, goal in goals.items():
        found = alternating({"ours": ours[kind], "theirs": theirs[kind]}, runs)
        (wall, cpu), (their_wall, their_cpu) = found["ours"], found["theirs"]
        table.add_row(
            kind,
            f"{wall * 1e3:.0f} ({cpu * 1e3:.0f})",
            f"{their_wall * 1e3:.0f} ({their_cpu * 1e3:.0f})",
            f"{their_wall / wall:.1f} ({their_cpu / cpu:.1f})",
            goal,
        )
    console.print(table)


def speed() -> None:
    """Chunked against recurrent, the scan alone and the layer; the layer against transformers' torch path."""
    for length, runs, goal in ((1024, 5, ""), (4096, 3, "5x")):
        goals = {FORWARD: goal, BOTH: goal}
        ours, theirs = scans(ssd.chunked, length), scans(ssd.recurrent, length)
        compare(f"scan, B=1, T={length:,}: chunked against the recurrence", ours, theirs, runs, goals)
        ours, theirs = passes(layer(), 1, length), passes(layer(scan="recurrent"), 1, length)
        goals = dict.fromkeys(goals, "")
        compare(f"layer, B=1, T={length:,}: chunked against the recurrence", ours, theirs, runs, goals)
    try:
        from transformers import Mamba2Config
        from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
    except ImportError:
        console.print("transformers is not installed: pip install 'eegfm[tsfm]'")
        return
    config = Mamba2Config(
        hidden_size=64, num_heads=8, head_dim=64, state_size=16, conv_kernel=2, expand=8, n_groups=1
    )
    mixer, module = Mamba2Mixer(config, layer_idx=0), layer()
    mixer.load_state_dict(module.state_dict())
    ours, theirs = passes(module, 8, 512), passes(mixer, 8, 512)
    goals = {FORWARD: "2x", BOTH: "1.5x"}
    compare("layer, B=8, T=512: chunked against transformers' torch path", ours, theirs, 9, goals)


def memory(length: int = 65_536) -> None:
    """Peak memory and time of one forward and backward pass, each in a process of its own."""
    cases = {
        "scan, everything kept by autograd": "scan recompute=False",
        "scan, one state a block kept": "scan recompute=True",
        "layer, everything kept by autograd": "layer recompute=False remember=None",
        "layer, its scan keeping one state a block": "layer recompute=True remember=None",
        "layer as it is (pieces of 4,096 computed again)": "layer recompute=True remember=4096",
    }
    table = Table(f"forward and backward, B=1, T={length:,}", "peak MB", "of kept", "CPU s", "of kept")
    kept = (1.0, 1.0)
    for name, case in cases.items():
        command = [sys.executable, "-m", "tests.bench.scan", "one", str(length), *case.split()]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        peak, cpu = float(answer[0]), float(answer[1])
        if "recompute=False" in case:
            kept = (peak, cpu)
        table.add_row(name, f"{peak:,.0f}", f"{peak / kept[0]:.2f}", f"{cpu:.2f}", f"{cpu / kept[1]:.2f}")
    console.print(table)
    console.print("goal: at most 0.5 of the memory, at most 1.3 of the time")


def one(length: str, what: str, *options: str) -> None:
    """One case of `memory`: prints megabytes and CPU seconds."""
    chosen = dict(option.split("=") for option in options)
    recompute = chosen["recompute"] == "True"
    # plainly replaced: no user of the layer needs this choice
    chunked = ssd.chunked
    ssd.chunked = lambda *a, **k: chunked(*a, **{**k, "recompute": recompute})  # type: ignore[assignment]
    if what == "scan":
        warm, work = (scans(lambda *a: ssd.chunked(*a), n)[BOTH] for n in (64, int(length)))
    else:
        module = layer(remember=None if chosen["remember"] == "None" else int(chosen["remember"]))
        warm, work = (passes(module, 1, n)[BOTH] for n in (64, int(length)))
    import_once()
    warm()
    print(*peak(work))


def import_once() -> None:
    """What torch imports at the first checkpoint of a process, two seconds and 50 MB: no pass shall pay for it."""
    checkpoint(torch.neg, torch.ones(1, requires_grad=True), use_reentrant=False)


def peak(work: Callable[[], object]) -> tuple[float, float]:
    """Peak megabytes of this process above what it holds now, and CPU seconds. For a process that did nothing before:
    what an allocator has kept of earlier work would be used again and not be seen."""
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    start = time.process_time()
    work()
    return _status("VmHWM") - before, time.process_time() - start


def _status(field: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def length() -> None:
    """Forward and backward from 2^10 to 2^17 steps: the exponent of the time over the length, 1 being linear."""
    table = Table("layer, B=1, T", "wall s", "CPU s", "CPU µs a step")
    module, points = layer(), []
    for power in range(10, 18):
        steps = 2**power
        work = passes(module, 1, steps)[BOTH]
        wall, cpu = alternating({"": work}, 5 if power < 14 else 1)[""]
        points.append((power, math.log2(cpu)))
        table.add_row(f"2^{power}", f"{wall:.3f}", f"{cpu:.3f}", f"{cpu / steps * 1e6:.0f}")
    console.print(table)
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    console.print(f"slope of log CPU time over log T: {slope:.3f}")


def main(*names: str) -> None:
    for name in names or ("speed", "memory", "length"):
        {"speed": speed, "memory": memory, "length": length}[name]()


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
