"""What was found, on the screen."""

from collections.abc import Iterator
from pathlib import Path

from eegfm.benchmarks.own.new.deciding import decisions
from eegfm.benchmarks.own.new.folder import first_words, kinds
from eegfm.benchmarks.own.new.found import Found
from eegfm.benchmarks.own.new.headers import Look
from eegfm.benchmarks.own.new.words import counted, hertz, lengths, microvolts
from eegfm.benchmarks.own.new.writing import codes_in_words
from eegfm.support.words import some

SHOWN = 8
CHOICES = 3  # of a decision, on the screen; the file has all


def told(found: Found) -> Iterator[tuple[str, str]]:
    """Lines of two columns: what, and what was found; then what has to be decided."""
    looks = found.looked.looks
    if looks:
        formats: dict[str, int] = {}
        for look in looks:
            formats[look.format] = formats.get(look.format, 0) + 1
        of_formats = ", ".join(f"{n} {name}" for name, n in formats.items())
        yield "recordings", f"{len(looks)} ({of_formats}), {found.hours:.2g} hours"
        yield "lengths", lengths([look.duration_s for look in looks])
        yield from _rates(found)
    for path, why in [*found.unreadable.items()][:SHOWN]:
        yield "not readable", f"{path}: {why}"
    if len(found.unreadable) > SHOWN:
        yield "", f"and {len(found.unreadable) - SHOWN} more"
    for group in found.copies[:SHOWN]:
        yield "copies", f"equal bytes: {' = '.join(group)}"
    yield from _subjects(found)
    if looks:
        yield from _channels(found, looks)
        yield from _amplitude(found)
    for codes in found.codes:
        where = codes.file or "in the recordings"
        yield "events", f"{where}, {codes.of_recordings} of {len(looks)}: {codes_in_words(codes)}"
        if codes.missing:
            yield "", f"no such file beside {some(list(codes.missing), 3)}"
        for file, why in [*codes.broken.items()][:3]:
            yield "not readable", f"{file}: {why}"
    yield from _tables(found)
    for label in found.said.labels:
        values = ", ".join(f"{value} ({n})" for value, n in sorted(label.counts.items()))
        yield (
            "in the paths",
            f"{label.pattern}: {values}" + (", the same in all of a person" if label.by_subject else ""),
        )
    notes: dict[str, int] = {}
    for look in looks:
        for note in look.notes:
            notes[note] = notes.get(note, 0) + 1
    for note, n in [*notes.items()][:SHOWN]:
        yield "to know", f"{note} ({counted(n, 'recording')})"
    rest = kinds(found.files.others)
    if found.strange:
        example = found.strange[0]
        yield (
            "unknown",
            f"{len(found.strange)} files such as {example}, which {first_words(found.root / example)}",
        )
    elif rest:
        yield "other files", some([f"{n} {suffix}" for suffix, n in rest], SHOWN)


def asked(found: Found) -> Iterator[tuple[str, str]]:
    """What has to be decided, by key, and the first of what may stand there."""
    for one in decisions(found):
        yield one.key, one.found
        for choice in [choice for choice in one.choices if choice][:CHOICES]:
            yield "", f"  {choice}"
        if len(one.choices) > CHOICES:
            yield "", "  ... (the file has all)"


def next_commands(found: Found, name: str, file: Path) -> list[str]:
    """What to type next."""
    n = len(decisions(found))
    edit = f"decide the {n} ??? in {file}" if n else f"look through {file}"
    return [edit, f"eegfm prepare data={name}", f"eegfm inspect data={name}"]


def _rates(found: Found) -> Iterator[tuple[str, str]]:
    if len(found.rates) == 1:
        yield "rate", hertz([*found.rates])
    else:
        yield "rates", ", ".join(f"{n} at {rate:g} Hz" for rate, n in found.rates.items())


def _subjects(found: Found) -> Iterator[tuple[str, str]]:
    if found.subjects:
        yield "subjects", f"{len(found.subjects)}, by {found.said.why}: {some(found.subjects, SHOWN)}"
        sizes: dict[str, int] = {}
        for who in found.said.subjects.values():
            sizes[who] = sizes.get(who, 0) + 1
        least, most = min(sizes.values()), max(sizes.values())
        yield "", f"{least} recordings each" if least == most else f"{least} to {most} recordings each"
    else:
        yield "subjects", "nothing in the paths says whose a recording is"


def _channels(found: Found, looks: tuple[Look, ...]) -> Iterator[tuple[str, str]]:
    known, n = found.channels, len(looks)
    yield "electrodes", f"{len(known.common)} in all recordings: {some(list(known.common), 24)}"
    if known.partly:
        yield (
            "",
            "in some: " + some([f"{name} ({count} of {n})" for name, count in known.partly.items()], 12),
        )
    for electrode, names in known.doubles.items():
        yield "", f"{electrode} is there several times, as {' and '.join(names)}"
    if known.aliases:
        yield "understood", some([f"{name} = {ours}" for name, ours in known.aliases.items()], 12)
    if known.placeless:
        yield (
            "no electrode",
            some([f"{name} ({count} of {n})" for name, count in known.placeless.items()], 12),
        )
        if known.montage:
            yield "", f"all of these names are in MNE's montage {known.montage}"
    for kind, names in known.others.items():
        yield f"{kind}", some([f"{name} ({count} of {n})" for name, count in names.items()], 12)
    faulty = {name: why for look in looks for name, why in look.faults.items()}
    if faulty:
        yield "not usable", some([f"{name} {why}" for name, why in faulty.items()], 4)
    if known.n_displaced:
        yield "places", f"{known.n_displaced} of {n} files have places that are on no head: names are used"
    elif known.n_placed:
        yield "places", f"{known.n_placed} of {n} files say where electrodes were measured"


def _amplitude(found: Found) -> Iterator[tuple[str, str]]:
    size = found.amplitude
    if size is None or not size.most_uv:
        return
    around = f"{microvolts(size.least_uv)} to {microvolts(size.most_uv)}"
    text = f"typically {microvolts(size.typical_uv)} from the median ({around} over recordings)"
    if size.beyond:
        text += f"; {counted(len(size.beyond), 'recording')} not EEG in size: {some(list(size.beyond), 3)}"
    yield "amplitude", text
    if size.still:
        yield "", "does not move: " + some([f"{name} ({n})" for name, n in size.still.items()], SHOWN)


def _tables(found: Found) -> Iterator[tuple[str, str]]:
    for table in found.tables:
        if not table.key:
            yield (
                "table",
                f"{table.file}: no column names subjects or files here ({some(list(table.columns), 6)})",
            )
            continue
        text = f"{table.file}: {table.key} names {table.named} {table.by}s here"
        if table.strangers:
            text += f", and {len(table.strangers)} that are not ({some(list(table.strangers), 3)})"
        yield "table", text
        for one in table.labels:
            values = ", ".join(f"{value} ({n})" for value, n in one.counts.items())
            yield "", f"{one.name}: {values}" + (f", {one.without} without" if one.without else "")
    for file, why in found.bad_tables.items():
        yield "table", f"{file}: {why}"
