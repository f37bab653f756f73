"""How fast `eegfm stream` is against the recording, and what it needs for ten minutes and for two hours.

python -m tests.bench.stream [causal] [light] [windows] [stamp]      on a quiet machine, one thread, ten minutes

Each row is the real command in a process of its own, on EDF files made here; weights are random, which costs the same.
Seconds are those of reading, preparing, computing and writing, without the start of the process; memory is the peak of
the whole process, most of it libraries. CPU seconds stand beside wall time because other work on a machine disturbs
them less.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.benchmarks.tuh import ELECTRODES
from tests.stream_runs import untrained_run, write_recording

console = Console(highlight=False)
EEGM2 = ("model=eegm2", "task=reconstruct", "data=synthetic")
STAMP = ("model=stamp", "encoder=spectrum", "data=tuab", "model.input_norm=instance")
MINUTES = (10, 120)
CASES = {  # what, the run, the file's channels and rate
    "causal": ("EEGM2, causal, 19 channels at 200 Hz", (*EEGM2, "model.causal=true"), CHANNELS, 200),
    "light": (
        "EEGM2, causal, widths 8, 16, 32",
        (*EEGM2, "model.causal=true", "model.width_scale=8"),
        CHANNELS,
        200,
    ),
    "windows": (
        "EEGM2, widths 8, 16, 32, windows of 4 s every 2 s",
        (*EEGM2, "model.width_scale=8"),
        CHANNELS,
        200,
    ),
    "stamp": (
        "STAMP over spectrum, TUAB's steps from 256 Hz, windows of 10 s",
        STAMP,
        [f"EEG {name}-REF" for name in ELECTRODES],
        256,
    ),
}


def main(*names: str) -> None:
    table = Table("stream", "recording", "seconds (CPU)", "times real time (CPU)", "peak MB")
    with tempfile.TemporaryDirectory() as place:
        for name in names or CASES:
            what, overrides, channels, sfreq = CASES[name]
            run = untrained_run(Path(place) / name, *overrides)
            for minutes in MINUTES:
                file = Path(place) / f"{minutes}min.edf"
                write_recording(file, list(channels), sfreq, 60 * minutes)
                out = Path(place) / f"{name}{minutes}"
                subprocess.run(
                    [sys.executable, "-m", "eegfm", "stream", f"run={run}", f"file={file}", f"out={out}", "device=cpu"],
                    env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
                facts = json.loads((out / "stream.json").read_text())
                table.add_row(
                    what if minutes == MINUTES[0] else "",
                    f"{minutes} min",
                    f"{facts['wall_s']:.1f} ({facts['cpu_s']:.1f})",
                    f"{facts['times_real_time']:.0f} ({facts['seconds'] / facts['cpu_s']:.0f})",
                    f"{facts['peak_memory_mb']['host']:.0f}",
                )
    console.print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
