"""`make bench`: how fast it is, side by side with the plain way where there is one. Prints tables; fails nothing.

python -m tests.bench [store|checked|prepare|copies|step|embed|scan|eegm2|samba|stream|harness|coverage|braindecode|
    help]
"""

import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from eegfm.data.store import SampleStore

console = Console(highlight=False)


def median_s(work: Callable[[], object], runs: int = 7) -> float:
    """Median seconds of one call, after one call that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def store() -> None:
    """Reading a shuffled epoch in batches of 64: ours against a pickled float64 LMDB, the layout of the references."""
    import lmdb

    from eegfm.data.recipe import Recipe
    from eegfm.data.store import SampleIndex, write_store
    from tests.corpus import manifest_of

    n, shape = 3000, (32, 800)
    rng = np.random.default_rng(0)
    order = rng.permutation(n)
    batches = [order[start : start + 64] for start in range(0, n, 64)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        x = rng.normal(0, 20, (n, *shape)).astype(np.float32)
        label = rng.integers(0, 2, n)
        text = np.full(n, "s")
        index = SampleIndex(label, text, text, text, np.zeros(n), text, np.arange(n, dtype=np.uint64))
        kinds = {}
        for dtype in ("float32", "float16"):
            recipe = Recipe({"benchmark": "bench", "dtype": dtype})
            kinds[dtype] = write_store(folder / dtype, manifest_of(recipe, shape, n), [(x, index)])
        pickled = lmdb.open(str(folder / "pickled"), map_size=n * 32 * 800 * 8 * 2)
        with pickled.begin(write=True) as transaction:
            for i in range(n):
                value = pickle.dumps({"sample": x[i].astype(np.float64), "label": int(label[i])})
                transaction.put(str(i).encode(), value)

        def theirs() -> None:
            for rows in batches:
                samples = []
                for row in rows:
                    with pickled.begin(write=False) as transaction:
                        pair = pickle.loads(transaction.get(str(row).encode()))
                    samples.append(pair["sample"] / 100)
                np.array(samples, dtype=np.float32)

        def ours(kind: str, one_by_one: bool = False) -> Callable[[], None]:
            def work() -> None:
                for rows in batches:
                    if one_by_one:
                        np.concatenate([kinds[kind].read([row]) for row in rows])
                    else:
                        kinds[kind].read(rows)

            return work

        reference = median_s(theirs)
        table = Table("store of 3,000 windows, 32 x 800", "samples/s", "against pickled float64")
        for name, work in (
            ("pickled float64 LMDB", None),
            ("float32, one by one", ours("float32", True)),
            ("float32, batched (what a loader does)", ours("float32")),
            ("float16, batched (embeddings)", ours("float16")),
        ):
            seconds = reference if work is None else median_s(work)
            table.add_row(name, f"{n / seconds:,.0f}", f"{reference / seconds:.1f}x")
        for name, loader in _loaders(kinds["float32"], order):
            seconds = median_s(lambda loader=loader: [batch for batch in loader])
            table.add_row(name, f"{n / seconds:,.0f}", f"{reference / seconds:.1f}x")
        console.print(table)
        pickled.close()


def _loaders(store: "SampleStore", order: np.ndarray) -> Iterator[tuple[str, Iterable[object]]]:
    """What a training loop iterates over: the loader of the data module, without and with device_cache."""
    import torch

    from eegfm.data.loaders import Loader, SplitDataset, Windows
    from eegfm.data.resident import ResidentLoader

    data = SplitDataset(store, order, torch.zeros(store.shape[0], 3))
    shuffle = Windows(len(order), 64, seed=0)
    yield "a loader's epoch", Loader(data, shuffle)
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        yield (
            f"a loader's epoch, device_cache=true ({device})",
            ResidentLoader(data, shuffle, torch.device(device)),
        )


def prepare() -> None:
    """Preparing 200 made recordings of two minutes with the steps of Mumtaz2016: plain MNE, one worker, two workers."""
    import mne

    from eegfm.data.preparing import making, pipeline
    from tests import many_recordings

    n = 200
    table = Table(
        f"preparing {n} recordings, 19 channels, 2 min at 256 Hz",
        "seconds",
        "of plain MNE",
        "peak MB a process",
    )
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place) / "raw"
        many_recordings.write(raw, n, seconds=120)
        benchmark = many_recordings.benchmark(n)
        sources = benchmark.sources(raw)

        def plain(source) -> None:
            read = mne.io.read_raw_edf(source.path, preload=True, verbose="error")
            read.pick(list(benchmark.channels)).resample(200, verbose=False)
            read.filter(0.3, 75, verbose=False).notch_filter(50, verbose=False)
            read.get_data()

        parts = Path(place) / "parts"
        parts.mkdir()
        ours, theirs = [], []
        for source in sources[:41]:  # alternating, so that both meet the same machine
            start = time.perf_counter()
            plain(source)
            half = time.perf_counter()
            making.make_part(benchmark, source, benchmark.steps, parts, {})
            theirs.append(half - start)
            ours.append(time.perf_counter() - half)
        # the first is not counted
        theirs_s, ours_s = statistics.median(theirs[1:]), statistics.median(ours[1:])
        table.add_row("plain MNE, one recording", f"{theirs_s:.3f}", "1.00", "")
        table.add_row("ours, one recording", f"{ours_s:.3f}", f"{ours_s / theirs_s:.2f}", "")
        for workers in (1, 2):
            cache = Path(place) / f"{workers}"
            program = (
                "import resource, sys, time; from pathlib import Path; "
                "from eegfm.data.preparing.pipeline import prepare; "
                "from tests.many_recordings import benchmark; start = time.perf_counter(); "
                f"prepare(benchmark({n}), Path(sys.argv[1]), Path(sys.argv[2]), workers={workers}, progress=False); "
                "print(time.perf_counter() - start, *(resource.getrusage(who).ru_maxrss / 1024 for who in "
                "(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))"
            )
            done = subprocess.run(
                [sys.executable, "-c", program, str(raw), str(cache)],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, *memory = map(float, done.stdout.split())
            name = f"all {n}, {workers} worker{'s' * (workers > 1)}"
            table.add_row(name, f"{seconds:.1f}", f"{seconds / n / theirs_s:.2f}", f"{max(memory):.0f}")
        start = time.perf_counter()
        pipeline.prepare(benchmark, raw, cache, progress=False)
        table.add_row("again, nothing to do", f"{time.perf_counter() - start:.2f}", "", "")
    console.print(table)


def step() -> None:
    """A STAMP training step (forward, backward, AdamW) of 64 windows."""
    import torch

    from eegfm.contracts import Montage, SampleSpec
    from eegfm.models.stamp import Stamp

    table = Table(f"STAMP step, batch 64, {torch.get_num_threads()} threads", "ms", "windows/s")
    for name, channels, seconds, classes in (("BCIC-IV-2a", 22, 4, 4), ("FACED", 32, 10, 9)):
        montage = Montage(tuple(f"{i}" for i in range(channels)), np.zeros((channels, 3)))
        spec = SampleSpec(montage, (channels, seconds, 1024), 200.0, tuple("abcdefghi"[:classes]))
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"backbone": Stamp(spec), "head": torch.nn.Linear(128, classes)})
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        x, coords = torch.randn(64, *spec.shape), torch.zeros(channels, 3)
        label = torch.randint(classes, (64,))

        def work() -> None:
            logits = model["head"](model["backbone"].embed(x, coords))  # noqa: B023 - called at once
            loss = torch.nn.functional.cross_entropy(logits, label)  # noqa: B023
            optimizer.zero_grad()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023

        seconds_a_step = median_s(work, runs=9)
        table.add_row(
            f"{name} ({channels} x {seconds} x 1024)",
            f"{seconds_a_step * 1e3:.0f}",
            f"{64 / seconds_a_step:,.0f}",
        )
    console.print(table)


def help() -> None:
    """How long a person waits for `--help` and for `import eegfm`."""
    table = Table("start", "seconds")
    for arguments in (["-c", "import eegfm"], ["-m", "eegfm"], ["-m", "eegfm.train", "--help"]):
        command = [sys.executable, *arguments]
        seconds = median_s(
            lambda command=command: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        )
        table.add_row("python " + " ".join(arguments), f"{seconds:.2f}")
    console.print(table)


def embed() -> None:
    """MOMENT trimmed and batched, and STAMP's step against plain loops: see tests/bench/embed.py."""
    from tests.bench.embed import main

    main()


def scan() -> None:
    """The Mamba-2 scan: see tests/bench/scan.py, which also takes one of its tables alone."""
    from tests.bench.scan import main

    main()


def eegm2() -> None:
    """EEGM2 over length, against attention and its own parts, and on a GPU: see tests/bench/eegm2.py."""
    from tests.bench.eegm2 import main

    main()


def samba() -> None:
    """SAMBA's grouped layer against a loop, over length, and what masking costs: see tests/bench/samba.py."""
    from tests.bench.samba import main

    main()


def stream() -> None:
    """A model over hours: see tests/bench/stream.py, which also takes one of its rows alone."""
    from tests.bench.stream import main

    main()


def harness() -> None:
    """A whole cell against the same loop in plain PyTorch, and composing: see tests/bench/harness.py."""
    from tests.bench.harness import main

    main()


def checked() -> None:
    """What it costs that a store is checked: see tests/bench/checked_store.py, which also takes one of its tables."""
    from tests.bench.checked_store import main

    main()


def copies() -> None:
    """How surely a changed copy of a recording is found, and at what cost: see tests/bench/near_copies.py."""
    from tests.bench.near_copies import main

    main()


def braindecode() -> None:
    """braindecode's networks through a run and through a plain loop: see tests/bench/braindecode.py."""
    from tests.bench.braindecode import main

    main()


def coverage() -> None:
    """How often the printed intervals hold the true score: see tests/bench/coverage.py."""
    from tests.bench.coverage import main

    main()


ALL = {
    "store": store,
    "checked": checked,
    "prepare": prepare,
    "copies": copies,
    "step": step,
    "embed": embed,
    "scan": scan,
    "eegm2": eegm2,
    "samba": samba,
    "stream": stream,
    "harness": harness,
    "coverage": coverage,
    "braindecode": braindecode,
    "help": help,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        ALL[name]()
