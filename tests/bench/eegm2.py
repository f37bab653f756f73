"""EEGM2 in time and memory: over the length of a window, against attention, against its own parts, and on a GPU.

python -m tests.bench.eegm2 [lengths|step|gpu]      on a quiet machine

`lengths` redraws the paper's central figure (Hong et al. 2025, time and memory over the length of a window) from what
is measured here, into runs/bench/: EEGM2, its encoder alone, and the ablation S5, which has attention in place of
Mamba-2. 16 channels, one window, forward and backward, as in training. S5's dropout of 0.1 keeps torch from computing
its attention without the whole matrix; "S5 without dropout" shows what torch makes of it then.

Times are medians of runs in turns, in one process; of S5 beyond 3,840 steps, one run. Memory is, on the CPU, the peak
of a process of its own above what it held before; on a GPU, what torch had allocated at most. With attention, 12,800
steps want 11 GB and half a minute a pass: `python -m tests.bench.eegm2 lengths 3840` stops at 3,840.
"""

import csv
import gc
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.table import Table
from torch import Tensor, nn

from eegfm.drawing import style
from eegfm.models.eegm2 import Eegm2
from eegfm.nn import mamba2, ssd
from eegfm.nn.mamba2 import scans_used
from tests.bench.scan import BOTH, FORWARD, Works, alternating, console, import_once, peak
from tests.models.eegm2 import raw_spec
from tests.nn.scans import scan_inputs

CHANNELS = 16  # of TUAB, and of the published logs
LENGTHS = (256, 512, 1280, 2560, 3840, 6400, 12_800, 25_600, 51_200)
LONGEST = 12_800  # on a CPU, unless asked for more
OURS, LIGHT, THEIRS, FLASH = "EEGM2", "EEGM2 Light", "S5 (attention)", "S5 without dropout"
NETWORKS = (OURS, LIGHT, THEIRS, FLASH)
PUBLISHED_STEPS_S, PUBLISHED_KB = (
    1.2e6,
    43.0,
)  # training, RTX 6000 Ada: the logs beside the reference's code
OUT = Path("runs/bench")
Device = torch.device | str


class Point(NamedTuple):
    """Time and memory of one window forward and backward; nan if it did not fit."""

    network: str
    length: int
    seconds: float
    cpu_s: float
    megabytes: float
    turns: int


# --- Over the length of a window -------------------------------------------------------------------------------------


def lengths(longest: str | int = LONGEST, device: Device = "cpu", out: Path = OUT) -> list[Point]:
    """Time and memory of every network at every length, the crossovers, a CSV and the figure."""
    wanted = [n for n in LENGTHS if n <= int(longest)]
    console.print(f"EEGM2 and attention, {CHANNELS} channels, B=1, {BOTH}, on {machine(device)}")
    table = Table("", *(f"{n:,}" for n in wanted))
    points = [point for n in wanted for point in at_length(n, device)]
    for network in NETWORKS:
        own = [p for p in points if p.network == network]
        table.add_row(f"{network}, s", *(f"{p.seconds:.3f}" for p in own))
        table.add_row("  CPU s", *(f"{p.cpu_s:.3f}" for p in own))
        table.add_row("  peak MB", *(f"{p.megabytes:,.0f}" for p in own))
        table.add_row("  turns", *(str(p.turns) for p in own))
    for name in ("seconds", "cpu_s", "megabytes"):
        for other in (THEIRS, FLASH) if name != "seconds" or is_cuda(device) else (THEIRS,):
            row = ratios(points, other, name)
            table.add_row(f"{other} / {OURS}: {name}", *(f"{r:.2f}" for r in row.values()))
    console.print(table)
    console.print(f"goal at 12,800 steps: {THEIRS} takes 8 times as long and 4 times the memory")
    for other in (THEIRS, FLASH):
        said = [f"{name} {_crossing(ratios(points, other, name))}" for name in ("cpu_s", "megabytes")]
        console.print(f"crossover with {other}, in steps: {', '.join(said)}")
    out.mkdir(parents=True, exist_ok=True)
    name = f"eegm2_length_{wanted[-1]}"
    with open(out / f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([Point._fields, *points])
    drawn = over_length(points, machine(device), cuda=is_cuda(device))
    place = style.save(drawn, out / f"{name}.png")
    console.print(f"figure: {place}")
    return points


def at_length(length: int, device: Device = "cpu") -> list[Point]:
    """Every network at one length: times in turns, memory one after the other."""
    turns = dict.fromkeys(NETWORKS, 5 if length <= 1280 else 3)
    if length > 3840 and not is_cuda(device):
        turns[THEIRS] = 1  # half a minute each
    memory, works = {}, {}
    for name in NETWORKS:
        memory[name] = _allocated(name, length, device) if is_cuda(device) else _of_a_process(name, length)
        if not math.isnan(memory[name]):
            works[name] = network_pass(name, length, device)
    import_once()
    found = dict.fromkeys(NETWORKS, (math.nan, math.nan))
    for n in sorted(set(turns.values()), reverse=True):
        group = {name: work for name, work in works.items() if turns[name] == n}
        found |= alternating(group, n, warm=n > 1)
    return [Point(name, length, *found[name], memory[name], turns[name]) for name in NETWORKS]


def network_pass(name: str, length: int, device: Device = "cpu") -> Callable[[], None]:
    """A training pass of a fresh network, without the optimiser."""
    torch.manual_seed(0)
    options = {LIGHT: {"light": True, "layer": "pool3"}, OURS: {}}.get(name, {"mixer": "attention"})
    model = Eegm2(raw_spec(CHANNELS, length), **options).to(device)  # type: ignore[arg-type]
    if name == FLASH:
        for module in model.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
    x, coords = torch.randn(1, CHANNELS, length, device=device), torch.zeros(CHANNELS, 3, device=device)

    def work() -> None:
        (model.embed(x, coords) if name == LIGHT else model(x, coords)).square().mean().backward()
        model.zero_grad()
        synchronize(device)

    return work


def _of_a_process(name: str, length: int) -> float:
    command = [sys.executable, "-m", "tests.bench.eegm2", "one", name, str(length)]
    done = subprocess.run(command, capture_output=True, text=True)
    # a process that the system ends for its memory says nothing
    return float(done.stdout.split()[0]) if done.returncode == 0 else math.nan


def one(name: str, length: str) -> None:
    """One case of `at_length`: prints megabytes and CPU seconds."""
    import_once()
    network_pass(name, 64)()  # so that nothing is done for the first time
    work = network_pass(name, int(length))
    print(*peak(work))


def _allocated(name: str, length: int, device: Device) -> float:
    try:
        return allocated(network_pass(name, length, device), device)
    except torch.OutOfMemoryError:
        gc.collect()
        torch.cuda.empty_cache()
        return math.nan


def ratios(points: Sequence[Point], other: str, what: str) -> dict[int, float]:
    """`other` over EEGM2 by length, where both fit."""
    value = {(p.network, p.length): getattr(p, what) for p in points}
    found = {n: value[other, n] / value[OURS, n] for n in sorted({p.length for p in points})}
    return {n: ratio for n, ratio in found.items() if not math.isnan(ratio)}


def crossover(ratio: dict[int, float]) -> float | None:
    """The length where a ratio passes 1 for good, on a line of logarithms between two lengths; None if it does not."""
    found = None
    for (a, low), (b, high) in zip(list(ratio.items()), list(ratio.items())[1:], strict=False):
        if low < 1 <= high:
            along = -math.log(low) / (math.log(high) - math.log(low))
            found = math.exp(math.log(a) + along * (math.log(b) - math.log(a)))
    return found


def _crossing(ratio: dict[int, float]) -> str:
    found = crossover(ratio)
    return "not within these lengths" if found is None else f"{found:,.0f}"


def over_length(points: Sequence[Point], where: str, *, cuda: bool = False) -> Figure:
    """Time and memory over the length of a window, all axes logarithmic; a network ends where it did not fit.

    Time is CPU seconds on a CPU: what a thread takes, whoever else is on its core.
    """
    clock = ("seconds", "seconds") if cuda else ("cpu_s", "CPU seconds")
    figure = Figure(figsize=(10.0, 4.4), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    colours = (style.BLUE, style.SKY, style.ORANGE, style.PURPLE)
    for axis, (what, label) in zip(panels, (clock, ("megabytes", "peak MB")), strict=True):
        for network, colour, marker in zip(NETWORKS, colours, "os^D", strict=True):
            own = [p for p in points if p.network == network and not math.isnan(getattr(p, what))]
            at, values = [p.length for p in own], [getattr(p, what) for p in own]
            axis.plot(at, values, color=colour, marker=marker, markersize=4, lw=1.6, label=network)
        axis.set_xscale("log")
        axis.set_yscale("log")
        shown = sorted({p.length for p in points})
        axis.set_xticks(shown, [f"{n:,}" for n in shown], rotation=35, ha="right")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(f"samples a window of {CHANNELS} channels")
        axis.set_ylabel(label)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color=style.FAINT, linewidth=0.8)
        axis.set_axisbelow(True)
    panels[0].legend(frameon=False, fontsize=9)
    title = f"EEGM2 and attention: one window, {BOTH}\n{where}"
    figure.suptitle(title, fontsize=11, color=style.INK)
    return figure


# --- A training step and its parts -----------------------------------------------------------------------------------


def step(batch: str | int = 4, length: str | int = 1280) -> float:
    """A training step of task=reconstruct against its convolutions, linear layers and scans, measured alone.

    The step: scale, mask, forward, the repaired loss, backward, clipping, AdamW. The parts: every one of them as it was
    called, with inputs of its own, forward and backward.
    """
    batch, length = int(batch), int(length)
    work, parts = _step(batch, length)
    kinds = {kind: partial(_replay, [p for p in parts if p.kind == kind]) for kind in KINDS}
    whole, alone = "step", "its parts alone"
    found = alternating({whole: work, alone: partial(_replay, parts), **kinds}, 5)
    console.print(f"EEGM2 training step, B={batch}, T={length:,}, {CHANNELS} channels, {machine('cpu')}")
    table = Table("", "ms", "CPU ms", "calls")
    for name, (wall, cpu) in found.items():
        calls = sum(p.kind == name for p in parts) or (len(parts) if name == alone else 1)
        table.add_row(name, f"{wall * 1e3:,.0f}", f"{cpu * 1e3:,.0f}", str(calls))
    ratio = found[whole][1] / found[alone][1]
    wall = found[whole][0] / found[alone][0]
    table.add_row("step / parts", f"{wall:.2f}", f"{ratio:.2f}", "goal 1.3")
    console.print(table)
    return ratio


KINDS = ("convolution", "linear", "scan")


class Part(NamedTuple):
    """One call of a convolution, linear layer or scan in a step, to be made again on inputs like those it had."""

    kind: str
    call: Callable[..., Tensor]
    inputs: list[Tensor | None]


def _step(batch: int, length: int) -> tuple[Callable[[], None], list[Part]]:
    from eegfm.contracts import EEGBatch
    from eegfm.nn.masks import Spans
    from eegfm.tasks.reconstruct import Reconstruct

    torch.manual_seed(0)
    spec = raw_spec(CHANNELS, length)
    task = Reconstruct(
        Eegm2(spec),
        spec,
        optimizer=partial(torch.optim.AdamW, lr=1e-4),
        loss={"l1": 1.0, "stft": 0.1},
        mask=partial(Spans, ratio=0.5, span_s=0.25),
        scale=100.0,
        seed=0,
    )
    x = 30 * torch.randn(batch, CHANNELS, length)
    none = torch.zeros(batch, dtype=torch.long)
    windows = EEGBatch(x, torch.zeros(CHANNELS, 3), none, none, [f"{i}" for i in range(batch)])
    optimizer = task.configure_optimizers()

    def work() -> None:
        loss, *_ = task._loss(windows, training=True)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()

    return work, _parts_of(task, work)


def _parts_of(task: nn.Module, work: Callable[[], None]) -> list[Part]:
    """What `work` calls: layers by hooks; the scan and Mamba-2's own convolution, which are functions, replaced."""
    parts: list[Part] = []

    def noted(kind: str, call: Callable[..., Tensor], inputs: Sequence[Tensor | None]) -> None:
        likes = [v if v is None else v.detach().clone().requires_grad_(v.requires_grad) for v in inputs]
        parts.append(Part(kind, call, likes))

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kind = "linear" if isinstance(module, nn.Linear) else "convolution"
        noted(kind, module, inputs[:1])

    layers = [m for m in task.modules() if isinstance(m, nn.Linear | nn.Conv1d)]
    hooks = [layer.register_forward_pre_hook(hook) for layer in layers]
    chunked, convolve = ssd.chunked, mamba2.ConvSiLU

    def scan(*inputs: Tensor, state: Tensor, **options: object) -> tuple[Tensor, Tensor]:
        noted("scan", lambda *v: chunked(*v[:-1], state=v[-1], **options)[0], [*inputs, state])
        return chunked(*inputs, state=state, **options)

    class ConvSiLU:
        @staticmethod
        def apply(*inputs: Tensor) -> Tensor:
            noted("convolution", convolve.apply, inputs)
            return convolve.apply(*inputs)

    ssd.chunked, mamba2.ConvSiLU = scan, ConvSiLU  # type: ignore[assignment]
    try:
        work()
    finally:
        ssd.chunked, mamba2.ConvSiLU = chunked, convolve  # type: ignore[assignment]
        for handle in hooks:
            handle.remove()
    return parts


def _replay(parts: Sequence[Part]) -> None:
    for part in parts:
        out = part.call(*part.inputs)
        out.backward(torch.ones_like(out))


# --- On a GPU --------------------------------------------------------------------------------------------------------


def gpu() -> None:
    """The measures on a CUDA device: the scan by every path, training throughput, the longest window, the figure."""
    if not torch.cuda.is_available():
        console.print("no CUDA: not measured (scan by path, training throughput, longest window)")
        return
    scans("cuda")
    throughput("cuda")
    longest("cuda")
    lengths(LENGTHS[-1], "cuda", OUT / "cuda")


def scans(
    device: Device, times: Sequence[int] = (256, 1280, 12_800, 51_200), batch: int = 8, runs: int = 9
) -> None:
    """Fused, chunked and compiled scan, and the bytes that it must move at least against what the card moves.

    A scan must read x, dt, B and C and write y; for the gradient, also read dy and write as many gradients as inputs.
    """
    bandwidth = copied_bytes_s(device)
    console.print(f"Mamba-2 scan, B={batch}, 8 heads of 64, 16 states, on {machine(device)}")
    console.print(f"a large copy moves {bandwidth / 1e9:,.0f} GB/s")
    table = Table("T", "type", "path", f"{FORWARD}, ms", "of the copy", f"{BOTH}, ms", "of the copy")
    for length in times:
        for dtype in (torch.float32, torch.bfloat16):
            for path, scan in scan_paths(device).items():
                row = [f"{length:,}", str(dtype).removeprefix("torch."), path]
                try:
                    works, least = _scan_works(scan, batch, length, dtype, device)
                    found = alternating(works, runs)
                    for kind in (FORWARD, BOTH):
                        seconds = found[kind][0]
                        row += [f"{seconds * 1e3:.3f}", f"{least[kind] / seconds / bandwidth:.0%}"]
                except (RuntimeError, ImportError) as error:  # out of memory, a kernel that cannot
                    row += [f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"]
                table.add_row(*row)
    console.print(table)


def scan_paths(device: Device) -> dict[str, Callable[..., Tensor]]:
    """The scan by each way that this device has, all with the arguments of `eegfm.nn.ssd`."""
    paths: dict[str, Callable[..., Tensor]] = {"chunked": lambda *v: ssd.chunked(*v)[0]}
    if is_cuda(device):
        paths["chunked, compiled"] = lambda *v: ssd.chunked(*v, compiled=True)[0]
        reason = mamba2.missing_kernels()
        if reason is None:
            from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined  # type: ignore[import]

            paths["fused"] = lambda x, dt, A, B, C, D: mamba_chunk_scan_combined(x, dt, A, B, C, 256, D=D)
        else:
            console.print(f"fused: not measured, {reason}")
    return paths


def _scan_works(
    scan: Callable[..., Tensor], batch: int, length: int, dtype: torch.dtype, device: Device
) -> tuple[Works, dict[str, int]]:
    x, dt, A, B, C, D, _ = (
        v.detach().to(device) for v in scan_inputs(batch, length, 8, 64, 1, 16, dtype=torch.float32)
    )
    inputs = [
        x.to(dtype),
        dt,
        A,
        B.to(dtype),
        C.to(dtype),
        D,
    ]  # steps and decays stay float32, as in the layer
    for v in inputs:
        v.requires_grad_()
    read = sum(v.numel() * v.element_size() for v in inputs)
    y = x.numel() * inputs[0].element_size()
    dy = torch.ones_like(inputs[0])

    def forward() -> None:
        with torch.no_grad():
            scan(*inputs)
        synchronize(device)

    def both() -> None:
        scan(*inputs).backward(dy)
        synchronize(device)

    return {FORWARD: forward, BOTH: both}, {FORWARD: read + y, BOTH: 2 * (read + y) + read}


def throughput(
    device: Device,
    cases: Sequence[tuple[int, int]] = ((64, 1280), (64, 3840), (64, 12_800)),
    scale: int = 1,
) -> None:
    """Training steps of EEGM2: samples in time a second, and kilobytes for each, beside the published logs."""
    console.print(f"EEGM2 training, {CHANNELS} channels, on {machine(device)}")
    table = Table(
        "B", "T", "type", "scan", "million time steps/s", "of published", "kB a step", "of published"
    )
    for batch, length in cases:
        for dtype in (torch.float32, torch.bfloat16):
            row = [str(batch), f"{length:,}", str(dtype).removeprefix("torch.")]
            try:
                model, work = training(batch, length, dtype, device, scale)
                work()
                memory = allocated(work, device)
                (seconds, _) = alternating({"": work}, 5)[""]
            except torch.OutOfMemoryError:
                table.add_row(*row, "out of memory")
                gc.collect()
                torch.cuda.empty_cache()
                continue
            rate, kilobytes = batch * length / seconds, memory * 1e3 / (batch * length)
            row += [", ".join(scans_used(model)), f"{rate / 1e6:.3f}", f"{rate / PUBLISHED_STEPS_S:.2f}"]
            table.add_row(*row, f"{kilobytes:.1f}", f"{kilobytes / PUBLISHED_KB:.2f}")
            del model, work
    console.print(table)
    console.print(
        "published: 1.2 million steps/s and 43 kB, RTX 6000 Ada, float32; goal: 10 times, and half"
    )


def training(
    batch: int, length: int, dtype: torch.dtype, device: Device, scale: int = 1
) -> tuple[Eegm2, Callable[[], None]]:
    """EEGM2 and one step of its training: L1, clipping, AdamW; bfloat16 under autocast."""
    torch.manual_seed(0)
    model = Eegm2(raw_spec(CHANNELS, length), width_scale=scale).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, coords = torch.randn(batch, CHANNELS, length, device=device), torch.zeros(CHANNELS, 3, device=device)

    def work() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=dtype != torch.float32):
            found = model(x, coords)
        loss = (found.float() - x).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        synchronize(device)

    return model, work


def longest(device: Device, start: int = 2**15, stop: int = 2**25) -> int:
    """The longest window, in eighths of its power of two, of which one training step fits."""

    def fits(length: int) -> bool:
        try:
            training(1, length, torch.float32, device)[1]()
            return True
        except (torch.OutOfMemoryError, RuntimeError) as error:  # kernels have sizes that they refuse, too
            console.print(f"{length:,} steps: {str(error).splitlines()[0][:100]}")
            return False
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    found = start if fits(start) else 0
    while found and 2 * found <= stop and fits(2 * found):
        found *= 2
    for part in (2, 4, 8) if 0 < found and 2 * found <= stop else ():
        power = 2 ** int(math.log2(found))
        found += power // part if fits(found + power // part) else 0
    console.print(
        f"longest window of {CHANNELS} channels, one training step, B=1: {found:,} time steps "
        f"({found / 128 / 60:,.0f} minutes at 128 Hz) on {machine(device)}"
    )
    return found


# --- What all of them use --------------------------------------------------------------------------------------------


def is_cuda(device: Device) -> bool:
    return torch.device(device).type == "cuda"


def synchronize(device: Device) -> None:
    if is_cuda(device):
        torch.cuda.synchronize(device)


def allocated(work: Callable[[], None], device: Device) -> float:
    """Megabytes that torch had allocated at most on a GPU meanwhile, weights included; nan elsewhere."""
    if not is_cuda(device):
        work()
        return math.nan
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device) / 1e6


def copied_bytes_s(device: Device, numbers: int = 2**28) -> float:
    """Bytes a second, read and written, of copying a large tensor: the bandwidth that can be had."""
    if not is_cuda(device):
        numbers = min(numbers, 2**22)
    source = torch.zeros(numbers, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        synchronize(device)

    return 2 * source.numel() * source.element_size() / alternating({"": copy}, 9)[""][0]


def machine(device: Device) -> str:
    if is_cuda(device):
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    n = torch.get_num_threads()
    return f"{name}, {n} thread{'s' * (n > 1)}, torch {torch.__version__}"


def main(*names: str) -> None:
    """Run the named measures, each with its numbers behind it; all of them if none is named."""
    known = {"lengths": lengths, "step": step, "gpu": gpu}
    words = list(names or known)
    while words:
        name, numbers = words.pop(0), []
        while words and words[0].isdigit():
            numbers.append(int(words.pop(0)))
        started = time.perf_counter()
        known[name](*numbers)
        console.print(f"[dim]{name}: {time.perf_counter() - started:.0f} s[/dim]")


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
