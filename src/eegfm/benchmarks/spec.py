"""What a benchmark states: subjects per split, channels, window, steps, and the counts that must come out.

A benchmark is one `BenchmarkSpec` in a file of its own, found by its dotted path in `conf/data/<name>.yaml`. It holds
facts and three functions, and it never holds a path on anyone's disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Step

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def folder_in(root: Path, name: str) -> Path:
    """The folder that unpacking a corpus makes below `root`, or `root` where its content lies there itself."""
    return root / name if (root / name).is_dir() else root


class LeftOut(Exception):
    """Raised by `read` or `windows` where the protocol itself leaves a recording out; the message says why.

    The recording then counts as done and gives no windows, and the store's manifest names it with its reason. (A file
    that the protocol wants and that cannot be used is an EegfmError.)
    """


@dataclass(frozen=True)
class Source:
    """One recording that the protocol uses: whose it is, where it must lie, and which split it belongs to.

    `recording` is unique within the benchmark and names the windows; `path` may not exist (then it counts as missing).
    `beside` are further files that the recording cannot be read without: labels, timetables. `split` is None where
    windows of one recording belong to several splits; then each `Window` says its own.
    """

    subject: str
    recording: str
    split: SplitName | None
    path: Path
    session: str = ""
    beside: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that has to lie on the disk."""
        return (self.path, *self.beside)


@dataclass(frozen=True)
class Window:
    """A stretch of a recording to be kept: its first second, counted from the file's start, and its class."""

    onset_s: float
    label: int
    split: SplitName | None = None  # None: that of its recording


WindowsOf = Callable[[Recording, Source], list[Window]]


@dataclass(frozen=True)
class ReferenceWindow:
    """What the key of a window says in a store that the reference's own scripts have made.

    `recording` is named as its `Source` names it. `number` orders the windows of a recording and is unique in it.
    `onset_s` is the window's first second, None where the key does not tell it. `label` and `split` are what the
    protocol says of a window of this name, None where the name is not enough. `subject` is wanted only where `sources`
    does not know the recording without its file.
    """

    recording: str
    number: int
    onset_s: float | None = None
    label: int | None = None
    split: SplitName | None = None
    subject: str = ""


@dataclass(frozen=True)
class Census:
    """What the complete corpus must give. A number that is not known is None, and is then not checked.

    `windows` is the total; `per_split` the number of windows of each split; `per_class` the numbers of each split in
    class order. `source` says where the numbers come from.
    """

    recordings: int | None = None
    windows: int | None = None
    per_split: Mapping[str, int] | None = None
    per_class: Mapping[str, tuple[int, ...]] | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSpec:
    """A corpus and the protocol of its published numbers.

    Args:
        name: the name on the command line, the folder of the store, and the key of published numbers.
        title: the name people know it by.
        protocol: whose protocol and of which version, as "cbramod@b9e9610".
        classes: class names; a label is an index into them. Empty for windows without labels, which all say 0.
        channels: the stored rows, in order.
        sfreq: rate of the stored windows in Hz.
        window_s: length of a window in seconds.
        steps: the published signal processing, in the published order.
        splits: subject ids of each split; None where they are only known from the files, by `split_rule`.
        split_rule: how recordings are divided where `splits` does not say it, in words.
        census: the counts that the complete corpus must give.
        sources: the root folder of the raw files -> every recording of the protocol, sorted, present or missing.
        read: one source -> its recording, with just the rows that the steps need, in order.
        windows: a processed recording and its source -> the windows to cut.
        corpus, licence, access, citation: where it is from, how it may be used, how to get it, whom to cite.
        open_files: the base URL of a corpus that is open without login, and the file of SHA-256 sums under it.
        simulated: True where no person was recorded; every report then says so.
        raw_sfreq: the rates that the corpus is known to have; a file of another rate is refused.
        make: for a made corpus only: root folder -> writes the raw files.
        choices: arguments of the function that made this specification and that its other facts do not show.
        within_subject: subjects, and recordings, are shared between splits by design; every report says so.
        duplicates: groups of recordings that the protocol keeps although they are known to be the same bytes.
        subject_leak: how the protocol itself may put a subject into train and into val, in words; such a subject is
            then reported, not refused. One in test and elsewhere is refused all the same.
        pool: corpora of one pool give one person the same id, so that one in two of them is recognised; "" where ids
            are the corpus's own.
        pool_gap: who in it has no id of the pool, in words.
        one_label: a recording is cut end to end and has one label, which a window of any length then has too.
        reference_key: the key of a window in a store of the reference's own scripts, and the split that it is listed
            under there -> what it says, or None where it is not a key of this benchmark. Left out where the reference
            makes no store of this protocol: of what is repaired, or divided in our way.
    """

    name: str
    title: str
    protocol: str
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    sfreq: float
    window_s: float
    steps: tuple[Step, ...]
    splits: Mapping[SplitName, Sequence[str]] | None
    census: Census
    sources: Callable[[Path], list[Source]]
    read: Callable[[Source], Recording]
    windows: WindowsOf
    corpus: str
    licence: str
    access: str
    citation: str
    raw_sfreq: tuple[float, ...] = ()
    open_files: str | None = None
    simulated: bool = False
    make: Callable[[Path], None] | None = field(default=None)
    split_rule: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    within_subject: bool = False
    duplicates: tuple[tuple[str, ...], ...] = ()
    subject_leak: str = ""
    pool: str = ""
    pool_gap: str = ""
    one_label: bool = False
    reference_key: Callable[[str, SplitName], ReferenceWindow | None] | None = None

    def __post_init__(self) -> None:
        if self.splits is None or self.within_subject:
            if not self.split_rule:
                raise EegfmError(f"{self.name}: state in split_rule how its recordings are divided.")
            return
        seen: dict[str, str] = {}
        for split, subjects in self.splits.items():
            for subject in subjects:
                if subject in seen:
                    raise EegfmError(
                        f"{self.name}: subject {subject} is in {seen[subject]} and in {split}."
                    )
                seen[subject] = split

    @property
    def kinds(self) -> tuple[str, ...]:
        """What windows are told apart by: the classes, or one name for all where there are none."""
        return self.classes or ("unlabelled",)

    @property
    def montage(self) -> Montage:
        """Names and places of the stored rows."""
        return montage_of(self.channels)

    @property
    def n_times(self) -> int:
        """Samples in a window."""
        return round(self.window_s * self.sfreq)
