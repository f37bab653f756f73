"""What could not be told of a folder, and what may stand in its place."""

from collections.abc import Iterable
from dataclasses import dataclass

from eegfm.benchmarks.own.new.channels import scalp
from eegfm.benchmarks.own.new.found import Found
from eegfm.benchmarks.own.new.paths import LabelPart
from eegfm.benchmarks.own.new.words import as_yaml, counted, microvolts
from eegfm.support.words import some

MANY = 12  # paths, codes or names that a sentence holds
FEW_PEOPLE = 5  # of whom nobody can be kept for a test
READER = """\
def read(path):
    names, microvolts, sfreq = ...  # electrodes, an array [channel, time] or [epoch, channel, time], Hz
    return names, microvolts, sfreq  # an mne.io.Raw will do as well"""


@dataclass(frozen=True)
class Decision:
    """A key that has to be decided: what was found, and what may stand there."""

    key: str
    found: str
    choices: tuple[str, ...]


def decisions(found: Found) -> list[Decision]:
    """What could not be told, in the order in which a person decides it."""
    return [
        one
        for one in (
            _reader(found),
            _files(found),
            _channels(found),
            _rate(found),
            _units(found),
            _labels(found),
            _classes(found),
            _windows(found),
            _split(found),
        )
        if one is not None and one.key not in found.decided
    ]


def _reader(found: Found) -> Decision | None:
    if not found.strange:
        return None
    return Decision(
        "reader",
        "eegfm cannot read these files, so that a function of yours has to. Write it into mymodule.py, where you type "
        "eegfm, and name it:",
        ("mymodule.read", "", *READER.splitlines()),
    )


def _files(found: Found) -> Decision | None:
    if found.said.subjects:
        return None
    choices = [
        f"{as_yaml(one.pattern)}   # {counted(len(one.counts), 'subject')}: {some([*one.counts], 4)}"
        for one in found.said.could_be[:MANY]
    ]
    fixed = " ".join(map(as_yaml, found.said.patterns))
    return Decision(
        "files",
        "whose a recording is could not be told. Write {subject} where the path says it; or leave the pattern without "
        f"({fixed}) and say it under subject: a name, if all are of one person, or a column of a table:",
        (
            *choices,
            *(
                f"{fixed}   # with  subject: {{{table.declared(column)}}}"
                for table in found.tables
                for column in table.people[:3]
            ),
        ),
    )


def _channels(found: Found) -> Decision | None:
    if found.looked.looks and (scalp(found.channels.common) or found.channels.montage):
        return None
    if found.strange:
        text = "which your reader gives, in order:"
    elif found.channels.partly:
        text = (
            "no electrode is in all recordings. Name those that are wanted, and leave the recordings without them out "
            "(leave_out), or make a file for each montage:"
        )
    else:
        text = "no name of a channel is an electrode's. Say which is which under aliases, then name the electrodes:"
    return Decision("channels", text, ("[Fz, Cz, Pz]", "standard_1020"))


def _rate(found: Found) -> Decision | None:
    """Of files that only their reader can read, nobody knows the rate."""
    if not found.strange:
        return None
    return Decision("raw_sfreq", "the rate in Hz that your reader gives, or a list of rates:", ("256",))


def _units(found: Found) -> Decision | None:
    size = found.amplitude
    if size is None or not (size.beyond or size.unitless):
        return None
    if size.unitless:
        return Decision(
            "units",
            f"the files do not say what one number is, of {some([*size.unitless], MANY)}. By channel, or for all:",
            ('{"*": uV}', '{"*": mV}', '{"*": 0.5}   # microvolts of one number'),
        )
    typical = [f"{unit} makes it {microvolts(uv)}" for unit, uv in size.candidates.items()]
    would = f" What would be EEG: {', '.join(typical)}." if typical else ""
    n, all_ = len(size.beyond), len(found.looked.looks)
    return Decision(
        "units",
        f"the typical value is {microvolts(size.typical_uv)} ({microvolts(size.least_uv)} to "
        f"{microvolts(size.most_uv)} over recordings) by the units that the files state, which no EEG has ({n} of "
        f"{all_} recordings).{would} What one number is, for all channels or by name:",
        tuple(f'{{"*": {unit}}}' for unit in size.candidates) or ('{"*": uV}',),
    )


def _labels(found: Found) -> Decision | None:
    choices = [codes.declared for codes in found.codes if codes.counts]
    choices += [_of_path(one) for one in found.said.labels if not one.by_subject]
    for table in found.tables:
        choices += [f"{{from: table, {table.declared(one.name)}}}" for one in table.labels]
        if table.labels and table.strangers:
            gone = ", ".join(f"{as_yaml(key)}: not here" for key in table.strangers)
            choices.append(f"   # {table.file} has others as well, so also  leave_out: {{{gone}}}")
    choices += [_of_path(one) for one in found.said.labels if one.by_subject]
    if not choices:
        return None
    return Decision(
        "labels", "where labels come from. What was found:", (*choices, "null   # none: pre-training")
    )


def _of_path(label: LabelPart) -> str:
    return f"{{from: path}}   # with  files: {as_yaml(label.pattern)}"


def _classes(found: Found) -> Decision | None:
    if _labels(found) is None:
        return None
    choices = [_classes_of(codes.counts) for codes in found.codes if 1 < len(codes.counts) <= MANY]
    parts = sorted(found.said.labels, key=lambda label: label.by_subject)
    choices += [f"{_classes_of(sorted(one.counts))}   # {one.pattern}" for one in parts]
    choices += [
        f"{_classes_of(one.counts)}   # {one.name} of {table.file}"
        for table in found.tables
        for one in table.labels
    ]
    return Decision(
        "classes",
        "a name for each class, and what stands for it where the labels come from (several in a list). Events that no "
        "class names are not used. Give them names:",
        tuple(choices) or ('{rest: "1", task: ["2", "3"]}',),
    )


def _classes_of(codes: Iterable[str]) -> str:
    return (
        "{"
        + ", ".join(f"{as_yaml(code, always=True)}: {as_yaml(code, always=True)}" for code in codes)
        + "}"
    )


def _windows(found: Found) -> Decision:
    apart = [codes for codes in found.codes if codes.apart_s]
    said = f" Events are typically {apart[0].apart_s:.3g} s apart." if apart else ""
    length = min(4.0, max(1.0, round(apart[0].apart_s - 0.5))) if apart else 4.0
    at_events = (
        (f"{{cut: events, from_s: 0.0, to_s: {length:.1f}}}",) if found.codes or found.strange else ()
    )
    return Decision(
        "windows",
        f"how recordings are cut, in seconds.{said} At events; end to end; or sliding (within labelled events, if "
        "labels are of events):",
        (*at_events, "{cut: end_to_end, length_s: 4}", "{cut: sliding, length_s: 2, hop_s: 1}"),
    )


def _split(found: Found) -> Decision | None:
    people = len(found.subjects)
    if not people or people >= FEW_PEOPLE:
        return None
    who = counted(people, "subject")
    return Decision(
        "split",
        f"there {'is' if people == 1 else 'are'} {who} ({some(found.subjects)}), too few to draw people for training, "
        "validation and test. All for training (then split=loso, kfold or recordings divides them anew), or by name:",
        ("train", "{train: [A], val: [B], test: [C]}", "{by: subject, shares: [0.4, 0.3, 0.3], seed: 0}"),
    )
