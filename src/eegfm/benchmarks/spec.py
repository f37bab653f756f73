"""The statement of a benchmark: subjects per split, channels, window, steps, and the expected counts.

A benchmark is one `BenchmarkSpec` in its own file, found by its dotted path in `conf/data/<name>.yaml`. It
holds facts and three functions, and never a path on anyone's disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.declared import Declared
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Step

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
OWN = "@own"  # ends the protocol of a person's own recordings
SUMS = "SHA256SUMS.txt"  # a list of the SHA-256 of raw files, beside them or in a folder above, as PhysioNet has it


def folder_in(root: Path, name: str) -> Path:
    """The folder that unpacking a corpus makes below `root`, or `root` if the content lies there directly."""
    return root / name if (root / name).is_dir() else root


class LeftOut(Exception):
    """Raised by `read` or `windows` if the protocol itself leaves out a recording; the message says why.

    The recording then counts as done and gives no windows, and the store's manifest names it with the
    reason. (An unusable file that the protocol wants is an EegfmError.)
    """


@dataclass(frozen=True)
class Source:
    """A recording that the protocol uses: its subject, its place on the disk, and its split.

    `recording` is unique within the benchmark and names the windows; `path` may not exist (it then counts
    as missing). `beside` holds further files that reading needs: labels, timetables. `split` is None if
    windows of one recording belong to several splits; then each `Window` states its own.
    """

    subject: str
    recording: str
    split: SplitName | None
    path: Path
    session: str = ""
    beside: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that must lie on the disk."""
        return (self.path, *self.beside)


@dataclass(frozen=True)
class Window:
    """A stretch of a recording to keep: its first second, counted from the file's start, and its class."""

    onset_s: float
    label: int
    split: SplitName | None = None  # None: the recording's split


WindowsOf = Callable[[Recording, Source], list[Window]]


@dataclass(frozen=True)
class ReferenceWindow:
    """The content of a window's key in a store that the reference's own scripts have made.

    `recording` is the name in its `Source`. `number` orders the windows of a recording and is unique in it.
    `onset_s` is the window's first second, None if the key does not tell it. `label` and `split` are what
    the protocol gives to a window of this name, None if the name is not enough. `subject` is needed only if
    `sources` cannot know the recording without its file.
    """

    recording: str
    number: int
    onset_s: float | None = None
    label: int | None = None
    split: SplitName | None = None
    subject: str = ""


@dataclass(frozen=True)
class Census:
    """The counts that the complete corpus must give. An unknown count is None and is not checked.

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
        name: name on the command line, folder of the store, and key of published numbers. Another protocol on the files
            of a benchmark begins with that one's name: tuab_eegm2.
        title: the name people know it by.
        protocol: the protocol's origin and version, such as "cbramod@b9e9610".
        classes: class names; a label is an index into them. Empty for windows without labels, which all say 0.
        channels: the stored rows, in order.
        sfreq: rate of the stored windows in Hz.
        window_s: length of a window in seconds.
        steps: the published signal processing, in the published order.
        splits: subject ids of each split; None if only the files give them, by `split_rule`.
        split_rule: how recordings are divided, in words, if `splits` does not say it.
        census: the counts that the complete corpus must give.
        sources: the root folder of the raw files -> every recording of the protocol, sorted, present or missing.
        read: one source -> its recording, with just the rows that the steps need, in order.
        windows: a processed recording and its source -> the windows to cut.
        corpus, licence, access, citation: the origin, how it may be used, how to get it, what to cite.
        open_files: the base URL of a corpus that is open without login, with its file of SHA-256 sums.
        simulated: True if no person was recorded; every report then says so.
        raw_sfreq: the rates that the corpus is known to have; a file of another rate is refused.
        make: for a simulated corpus only: writes the raw files into the root folder.
        choices: arguments of the function that made this specification, if its other facts do not show them.
        within_subject: subjects, and recordings, are shared between splits by design; every report says so.
        duplicates: groups of recordings with equal bytes that the protocol keeps nevertheless.
        subject_leak: how the protocol itself may put a subject into both train and val, in words; such a subject is
            then reported, not refused. A subject in test and elsewhere is still refused.
        pool: corpora of a pool share their ids, so that a person in two of them is recognised; "" if ids are the
            corpus's own.
        pool_gap: whose ids are not the pool's, in words.
        one_label: a recording is cut end to end and has one label, so that windows of any length have it too.
        places: the places of the stored rows where the names do not say them.
        declared: what is known of the files beside what they say, which also counts where a trained model is applied.
        own: a person's own recordings, which nobody has counted: the first complete preparation does, and more is asked
            of the whole (see `eegfm.data.counted`).
        alarm: the class whose windows are events to be found, where windows lie end to end over whole recordings.
        reference_key: a window's key in a store of the reference's own scripts, and the split that lists it there ->
            the key's content, or None if it is no key of this benchmark. Left out if the reference makes no store of
            this protocol, because we repaired it or divided it differently.
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
    places: Montage | None = None
    declared: Declared = field(default_factory=Declared)
    own: bool = False
    reference_key: Callable[[str, SplitName], ReferenceWindow | None] | None = None
    alarm: str = ""

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
        """The kinds of windows: the classes, or one name for all if there are none."""
        return self.classes or ("unlabelled",)

    @property
    def montage(self) -> Montage:
        """Names and places of the stored rows."""
        return montage_of(self.channels) if self.places is None else self.places

    @property
    def n_times(self) -> int:
        """Samples in a window."""
        return round(self.window_s * self.sfreq)
