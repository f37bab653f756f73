"""What runs have cost: size, operations, time and memory, as a table."""

import math
from collections.abc import Sequence

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.groups import Group, mean
from eegfm.reporting.run_folders import Run


def costs(title: str, groups: Sequence[Group]) -> Sheet:
    """What the groups' runs have cost."""
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
                "–" if group.first.flops is None else of_a_thousand(group.first.flops),
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
        "FLOPs: of one window through what was trained (torch's counter: matrix products, convolutions and attention, "
        "an addition beside every multiplication); an encoder whose output is stored is not in it",
        "wall time: mean over runs, of the process that ended each; GPU hours: of all runs and devices; energy: what "
        "the GPUs of all runs took, by their own counters; memory: the most of any, of one process",
    ]
    return Sheet(f"{title}: cost", header, rows, notes)


def gpu_hours(run: Run) -> float:
    """Hours of wall time times devices of a run on GPUs; 0 of one on a CPU."""
    return run.result.wall_s / 3600 * run.result.devices * run.result.device.startswith("cuda")


def energy(each_wh: Sequence[float | None]) -> str:
    """Of several runs together; a dash where it is not known of one."""
    known = [wh for wh in each_wh if wh is not None]
    if not known or len(known) < len(each_wh):
        return "–"
    total = sum(known)
    return f"{total / 1000:.2f} kWh" if total >= 1000 else f"{total:.3g} Wh"


def of_a_thousand(number: float) -> str:
    """`12.3 M`: three digits and the power of a thousand that they are of."""
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:.3g} {letter}"
    return f"{number:g}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {rest:02d} s"
        if minutes
        else f"{seconds:.1f} s"
    )
