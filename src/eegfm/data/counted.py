"""What is asked of a person's own recordings as a whole, beyond what their declaration says.

Nobody has published how many there are. So the first complete preparation writes its counts beside the store, into
`<fingerprint>.counted.json`, and they are the census from then on: the store may be deleted and made again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Census, Source
from eegfm.contracts import EegfmError
from eegfm.data.census import count
from eegfm.data.store import SampleIndex
from eegfm.support.files import write_json
from eegfm.support.words import some


def file_of(folder: Path) -> Path:
    """Where the counts of the store in `folder` lie."""
    return folder.with_name(f"{folder.name}.counted.json")


def with_census(benchmark: BenchmarkSpec, folder: Path) -> BenchmarkSpec:
    """The benchmark with the counts of the first complete preparation, if it is somebody's own and there was one."""
    path = file_of(folder)
    if not benchmark.own or not path.is_file():
        return benchmark
    try:
        return replace(benchmark, census=Census(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        raise EegfmError(
            f"{path}, the counts of the first preparation, cannot be read ({type(error).__name__}: {error}). Delete "
            "it, and the next preparation counts anew."
        ) from None


def remember(benchmark: BenchmarkSpec, folder: Path, index: SampleIndex, n_recordings: int) -> None:
    """Write the counts of a complete store, if nothing has counted these recordings before."""
    path = file_of(folder)
    if not benchmark.own or path.exists():
        return
    found = count(index, len(benchmark.kinds))
    census = Census(
        recordings=n_recordings,
        windows=found["windows"],
        per_split=found["per_split"],
        per_class=found["per_class"],
        source=f"the first complete preparation, {path}",
    )
    write_json(path, asdict(census))


def faults(benchmark: BenchmarkSpec, sources: Sequence[Source], index: SampleIndex) -> list[str]:
    """Why nothing can be learned, or compared, from somebody's own recordings; a sentence each, none for others.

    A split that has recordings and no window, a class without a window, and one that only one of several subjects has.
    """
    if not benchmark.own:
        return []
    splits = {source.split for source in sources}
    found = [
        f"{split} has recordings and no window of them"
        for split in SPLITS
        if split in splits and not len(index.rows(split))
    ]
    everybody = set(index.subject.tolist())
    for label, name in enumerate(benchmark.classes):
        rows = np.flatnonzero(index.label == label)
        subjects = set(index.subject[rows].tolist())
        if not subjects:
            found.append(
                f"class {name} has no window: correct what stands for it, or take it out of classes"
            )
        elif len(subjects) == 1 < len(everybody) and not benchmark.within_subject:
            recordings = sorted(set(index.recording[rows].tolist()))
            found.append(
                f"class {name} is of subject {min(subjects)} alone ({some(recordings, 3)}), so that no split by "
                "subject can both train and test on it: join it with another class, or take it out of classes"
            )
    return found
