"""What runs have cost: size, operations, time and memory, as a table. Read before torch is."""

import math
from collections.abc import Sequence

from eegfm.formats import Sheet
from eegfm.groups import Group, Run, mean


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
                _clock(mean([run.wall_s for run in runs])),
                f"{hours:.2f}" if (hours := sum(map(gpu_hours, group.runs))) else "–",
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
        "memory",
        "GPU memory",
        "device",
    ]
    notes = [
        "FLOPs: of one window through what was trained (torch's counter: matrix products, convolutions and attention, "
        "an addition beside every multiplication); an encoder whose output is stored is not in it",
        "wall time: mean over runs, of the process that ended each; GPU hours: of all runs; memory: the most of any",
    ]
    return Sheet(f"{title}: cost", header, rows, notes)


def gpu_hours(run: Run) -> float:
    """Hours of wall time times devices of a run on GPUs; 0 of one on a CPU."""
    trainer = run.config.get("trainer", {})
    each = [trainer.get("devices", 1), trainer.get("num_nodes", 1)]
    devices = math.prod(n if isinstance(n, int) and n > 0 else 1 for n in each)
    return run.result.wall_s / 3600 * devices * run.result.device.startswith("cuda")


def of_a_thousand(number: float) -> str:
    """`12.3 M`: three digits and the power of a thousand that they are of."""
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:.3g} {letter}"
    return f"{number:g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {rest:02d} s"
        if minutes
        else f"{seconds:.1f} s"
    )
