"""The table of what runs cost: parameters, operations, time, energy and memory."""

import math
from collections.abc import Sequence

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.groups import Group, mean
from eegfm.reporting.run_folders import Run


def costs(title: str, groups: Sequence[Group]) -> Sheet:
    """The cost of the groups' runs, a row a group."""
    rows = []
    for group in groups:
        runs = [run.result for run in group.runs]
        peaks = [
            max((run.peak_memory_mb.get(where, math.nan) for run in runs), default=math.nan)
            for where in ("host", "gpu")
        ]
        rows.append(
            [
                group.label,
                f"{group.first.parameters['trainable']:,}",
                f"{group.first.parameters['total']:,}",
                "–" if group.first.flops is None else with_prefix(group.first.flops),
                clock(mean([run.wall_s for run in runs])),
                f"{hours:.2f}" if (hours := sum(map(gpu_hours, group.runs))) else "–",
                energy([run.energy_wh for run in runs]),
                *("–" if math.isnan(peak) else f"{peak / 1000:.2f} GB" for peak in peaks),
                ", ".join(dict.fromkeys(run.device for run in runs)),
            ]
        )
    header = [
        "",
        "trainable",
        "parameters",
        "FLOPs",
        "wall time",
        "GPU hours",
        "energy",
        "memory",
        "GPU memory",
        "device",
    ]
    notes = [
        "FLOPs: one forward pass of one window through the trained model (torch's counter: matrix products, "
        "convolutions and attention; an addition counts beside every multiplication), "
        "without an encoder whose output is stored",
        "wall time: of the process that finished a run, mean over runs; GPU hours: sum over all runs and devices; "
        "energy: what the GPUs of all runs used, by their own counters; memory: the largest of any process",
    ]
    return Sheet(f"{title}: cost", header, rows, notes)


def gpu_hours(run: Run) -> float:
    """Wall time in hours times the number of devices, for a run on GPUs; 0 for a run on a CPU."""
    return run.result.wall_s / 3600 * run.result.devices * run.result.device.startswith("cuda")


def energy(each_wh: Sequence[float | None]) -> str:
    """The energy of several runs together; a dash if one of them does not know it."""
    known = [wh for wh in each_wh if wh is not None]
    if not known or len(known) < len(each_wh):
        return "–"
    total = sum(known)
    return f"{total / 1000:.2f} kWh" if total >= 1000 else f"{total:.3g} Wh"


def with_prefix(number: float) -> str:
    """`12.3 M`: three digits and a prefix for the power of a thousand."""
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:.3g} {letter}"
    return f"{number:g}"


def clock(seconds: float) -> str:
    """`2 h 05 min`, `3 min 07 s` or `4.2 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {rest:02d} s"
        if minutes
        else f"{seconds:.1f} s"
    )
