"""The YAML of what was found: what has to be decided stands at the top as `???`, each with what may stand there."""

import textwrap

import numpy as np
from jaxtyping import Float

from eegfm.benchmarks.own.new.channels import EARS, places_in, scalp
from eegfm.benchmarks.own.new.deciding import FEW_PEOPLE, MANY, decisions
from eegfm.benchmarks.own.new.events import Codes
from eegfm.benchmarks.own.new.found import Found
from eegfm.benchmarks.own.new.words import as_yaml, counted, hertz, lengths
from eegfm.support.words import some, visible

WIDTH = 112
OPEN = "???"


def yaml_of(found: Found, name: str) -> str:
    """The file `conf/data/<name>.yaml`."""
    asked = decisions(found)
    lines = [
        _comment(_headline(found)),
        *_summary(found),
        "defaults: [shared/own@_here_, _self_]",
        "benchmark:",
    ]
    if asked:
        lines.append(f"  # To be decided: put a value in the place of each {OPEN}")
        for one in asked:
            lines += ["", *_indented(_comment(f"{one.key}: {one.found}"))]
            lines += _indented("\n".join(f"#   {visible(choice)}" for choice in one.choices))
            lines.append(f"  {one.key}: {OPEN}")
    open_keys = {one.key for one in asked}
    lines += ["", "  # Found"]
    for key, (value, note) in {"name": (name, ""), **_values(found)}.items():
        if key not in open_keys:
            lines += _entry(key, value, note)
    lines += [f"raw: {as_yaml(str(found.root.resolve()))}", ""]
    return "\n".join(lines)


def _headline(found: Found) -> str:
    looks = found.looked.looks
    if not looks:
        return f"{counted(len(found.strange), 'file')} that no reader here knows, {_people(found)}."
    return (
        f"{counted(len(looks), 'recording')}, {_people(found)}, {found.hours:.2g} hours, "
        f"{hertz([*found.rates])}, {counted(len(found.channels.common), 'electrode')} in all."
    )


def _people(found: Found) -> str:
    return f"{counted(len(found.subjects), 'subject')}" if found.subjects else "subjects not known"


def _summary(found: Found) -> list[str]:
    """What was found and has no key, as comments."""
    lines = ["#"]
    looks = found.looked.looks
    if looks:
        lines.append(_comment(f"Durations: {lengths([look.duration_s for look in looks])}."))
    if found.channels.partly:
        partly = [f"{name} ({n})" for name, n in found.channels.partly.items()]
        lines.append(
            _comment(f"Electrodes of some of the {len(looks)} recordings only: {some(partly, MANY)}.")
        )
    if found.channels.placeless:
        without = [f"{name} ({n})" for name, n in found.channels.placeless.items()]
        lines.append(_comment(f"Channels whose names are no electrodes: {some(without, MANY)}."))
    for kind, names in found.channels.others.items():
        lines.append(_comment(f"Channels that are no EEG ({kind}): {some([*names], MANY)}."))
    for codes in found.codes:
        where = "Events of the recordings" if not codes.file else f"Events of {codes.file}"
        lines.append(_comment(f"{where} ({codes.of_recordings} of {len(looks)}): {codes_in_words(codes)}."))
    for table in found.tables:
        key = (
            f"{table.key} names {table.named} {table.by}s of those here"
            if table.key
            else "names nobody here"
        )
        lines.append(_comment(f"Table {table.file}: {counted(table.n_rows, 'row')}; {key}."))
    for label in found.said.labels:
        values = ", ".join(f"{value} ({n})" for value, n in sorted(label.counts.items()))
        lines.append(_comment(f"A part of the paths takes few values: {label.pattern}: {values}."))
    for group in found.copies:
        lines.append(_comment(f"Equal bytes: {' = '.join(group)}."))
    if found.unreadable:
        lines.append(_comment(f"{counted(len(found.unreadable), 'file')} could not be read:"))
        for path, why in [*found.unreadable.items()][:MANY]:
            lines.append(_comment(f"  {path}: {why}"))
    return [*lines, "#"] if len(lines) > 1 else lines[:1]


def codes_in_words(codes: Codes) -> str:
    """Each code with its count, and how many there are of it in a recording."""
    if not codes.counts:
        return "not counted" if codes.uncounted else "none"
    said = []
    for code, n in codes.counts.items():
        least, most = codes.least[code], codes.most[code]
        each = f"{least}" if least == most else f"{least} to {most}"
        said.append(f"{code or 'without a name'}: {n:,} ({each} each)")
    text = some(said, MANY)
    text += f"; typically {codes.apart_s:.3g} s apart" if codes.apart_s else ""
    text += f", {codes.lasting_s:.3g} s long" if codes.lasting_s else ""
    return text + (f"; {codes.uncounted} recordings were not gone through" if codes.uncounted else "")


def _values(found: Found) -> dict[str, tuple[str, str]]:
    """The keys whose values were found: as they stand in the YAML, and a comment."""
    values: dict[str, tuple[str, str]] = {}
    looks = found.looked.looks
    patterns = found.said.patterns
    text = as_yaml(patterns[0]) if len(patterns) == 1 else f"[{', '.join(map(as_yaml, patterns))}]"
    values["files"] = (
        text,
        f"{counted(len(found.subjects), 'subject')}, by {found.said.why}: {some(found.subjects, 6)}",
    )
    if found.bids:
        values["bids"] = "true", "dataset_description.json is there"
    bad = [*found.unreadable, *(path for group in found.copies for path in group[1:])]
    if bad:
        kept = "{" + ", ".join(f"{as_yaml(path)}: <why>" for path in bad[:MANY]) + "}"
        values["leave_out"] = "{}", f"for those that cannot be read, and copies: {kept}"
    names = scalp(found.channels.common)
    ears = [name for name in EARS if name in found.channels.common]
    if names:
        note = (
            f"in all recordings; {', '.join(ears)} left out, which are references"
            if ears
            else "in all recordings"
        )
        values["channels"] = f"[{', '.join(names)}]", note
    elif found.channels.montage:
        of_montage = [name for name, n in found.channels.placeless.items() if n == len(looks)]
        values["channels"] = (
            f"[{', '.join(of_montage)}]",
            f"names of MNE's montage {found.channels.montage}",
        )
        places = places_in(found.channels.montage, of_montage)
        given = ", ".join(f"{name}: {_place(place)}" for name, place in places.items())
        values["places"] = f"{{{given}}}", f"those of {found.channels.montage}, metres of the head frame"
    if found.channels.aliases:
        given = ", ".join(f"{as_yaml(name)}: {ours}" for name, ours in found.channels.aliases.items())
        values["aliases"] = f"{{{given}}}", "name in the files: electrode"
    if found.channels.doubles:
        one, of = next(iter(found.channels.doubles.items()))
        note = (
            f"{one} is there as {' and '.join(of)}: say which is meant, {{{as_yaml(of[0])}: {one}}}, and add it to "
            "channels"
        )
        values["aliases"] = values.get("aliases", ("{}", ""))[0], note
    if "places" not in values and (found.channels.n_placed or found.channels.n_displaced):
        values["places"] = "names", _of_places(found)
    if looks:
        rates = [f"{rate:g}" for rate in found.rates]
        values["raw_sfreq"] = (rates[0] if len(rates) == 1 else f"[{', '.join(rates)}]"), "Hz, of the files"
    values["sfreq"] = "200", "Hz, of the stored windows"
    values["steps"] = "[]", "such as [{_target_: eegfm.signal.steps.BandPass, low: 0.5, high: 45}]"
    values["split"] = "{by: subject, shares: [0.6, 0.2, 0.2], seed: 0}", "drawn by subject"
    values |= found.decided
    if not any(one.key == "labels" for one in decisions(found)) and "labels" not in found.decided:
        values["labels"] = "null", "nothing was found that could be labels: for pre-training"
        if len(found.subjects) >= FEW_PEOPLE:
            values["split"] = "train", "all of it trains: there are no labels"
    return values


def _of_places(found: Found) -> str:
    if found.channels.n_displaced:
        n = found.channels.n_displaced
        return f"the places in {n} of {len(found.looked.looks)} files are on no head (millimetres?) and not used"
    given = [f"{name}: {_place(place)}" for name, place in found.channels.places.items()]
    return f"{found.channels.n_placed} files have measured places; their medians: {{{', '.join(given)}}}"


def _place(place: Float[np.ndarray, " 3"]) -> str:
    return "[" + ", ".join(f"{one:.4f}" for one in place) + "]"


def _entry(key: str, value: str, note: str) -> list[str]:
    """A key with its value, and its comment beside it or above."""
    line = f"  {key}: {value}"
    if note and len(line) + len(note) + 4 <= WIDTH:
        return [f"{line}  # {visible(note)}"]
    comment = _indented(_comment(note)) if note else []
    if len(line) <= WIDTH:
        return [*comment, line]
    return [
        *comment,
        *textwrap.wrap(
            line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        ),
    ]


def _comment(text: str) -> str:
    lines = textwrap.wrap(visible(text), WIDTH - 4, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"# {line}" for line in lines)


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.splitlines()]
