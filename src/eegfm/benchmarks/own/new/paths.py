"""What the paths of recordings say: whose each is, and which parts of them could be labels.

Names are cut into words, numbers and what stands between them; names with the same signs between them are one form.
A part that says the subject is looked for in this order: BIDS's `sub-`, a word such as "subject" or "S" before a
number, a folder whose name begins its files' names, and at last a folder that there are three of. Nothing else is
taken.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TOKENS = re.compile(r"/|[^\W\d_]+|\d+|[^\w/]+|_+")
WORDS = (
    "subject", "subj", "sub", "s", "participant", "part", "patient", "pat", "p", "proband", "vp", "pp", "person",
    "user",
)  # fmt: skip
SEVERAL = range(2, 13)  # so many values can be classes
WILD = "*?{}"  # signs of patterns: in a name, `?` stands for them

Span = tuple[int, int]  # the first token and the one behind the last


@dataclass(frozen=True)
class LabelPart:
    """A part of paths that takes few values: the pattern that has it as {label}, and how many recordings have each."""

    pattern: str
    counts: Mapping[str, int]
    by_subject: bool  # it is the same in all recordings of a subject


@dataclass(frozen=True)
class Said:
    """What paths say.

    Attributes:
        patterns: of all paths, one for each form.
        subjects: by path; empty where nothing says them.
        why: how subjects were found, in words.
        labels: what could be labels.
        could_be: what could be subjects, where nothing says them; each pattern has {subject}.
    """

    patterns: tuple[str, ...]
    subjects: Mapping[str, str]
    why: str
    labels: tuple[LabelPart, ...]
    could_be: tuple[LabelPart, ...]


def said_by(paths: Sequence[str]) -> Said:
    """What the paths of recordings say."""
    forms: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        forms[_form(path)].append(path)
    found = [_of_form(group) for group in forms.values()]
    whys = Counter(why for _, _, why, _ in found if why)
    complete = all(subjects for _, subjects, _, _ in found)
    subjects = (
        {path: who for _, of_form, _, _ in found for path, who in of_form.items()} if complete else {}
    )
    labels = found[0][3] if len(found) == 1 else []
    unknown = [
        group for group, (_, of_form, _, _) in zip(forms.values(), found, strict=True) if not of_form
    ]
    return Said(
        tuple(dict.fromkeys(pattern for pattern, _, _, _ in found)),
        subjects,
        whys.most_common(1)[0][0] if complete and whys else "",
        tuple(labels),
        tuple(_could_be(max(unknown, key=len))) if unknown else (),
    )


def _could_be(paths: Sequence[str]) -> list[LabelPart]:
    """The parts of names of one form that differ, each as the subject."""
    rows = [TOKENS.findall(path) for path in paths]
    name = max((i + 1 for i, token in enumerate(rows[0]) if token == "/"), default=0)
    # folders, single parts, and the whole name without its suffix
    spans = [*_folders(rows[0]), *((i, i + 1) for i in range(len(rows[0]) - 1)), (name, len(rows[0]) - 2)]
    found = {}
    for span in spans:
        counts = Counter("".join(row[slice(*span)]) for row in rows)
        if len(counts) > 1 and rows[0][span[0] : span[1]] != ["/"]:
            found.setdefault(tuple(counts), LabelPart(_pattern(rows, [span]), counts, True))
    return [*found.values()]


def _form(path: str) -> tuple[str, ...]:
    """The signs between words and numbers, where words and numbers stand, and the suffix itself."""
    tokens = TOKENS.findall(path)
    form = ["0" if token.isdigit() else "a" if token.isalpha() else token for token in tokens]
    return (*form[:-1], tokens[-1]) if tokens else ()


def _of_form(paths: Sequence[str]) -> tuple[str, dict[str, str], str, list[LabelPart]]:
    """The pattern, the subjects with why, and the parts that could be labels, of paths of one form."""
    rows = [TOKENS.findall(path) for path in paths]
    spans, why = _subject(rows)
    subjects = {}
    if spans:
        first, after = spans[0]
        subjects = {path: "".join(row[first:after]) for path, row in zip(paths, rows, strict=True)}
    taken = {i for first, after in spans for i in range(first, after)}
    labels = []
    for i in range(len(rows[0])):
        values = Counter(row[i] for row in rows)
        enough = len(values) in SEVERAL and min(values.values()) > 1
        inside = bool(spans) and any(first <= i < after for first, after in spans)
        if not enough or _of_a_date(rows[0], i) or (inside and not _apart(rows, i, spans)):
            continue
        by_person: dict[str, set[str]] = defaultdict(set)
        for path, row in zip(paths, rows, strict=True):
            by_person[subjects.get(path, path)].add(row[i])
        constant = all(len(of_one) == 1 for of_one in by_person.values())
        if len(by_person) == len(values) and constant:
            continue  # it is another name of the subject
        spare = [span for span in spans if not span[0] <= i < span[1]] if inside else spans
        labels.append(LabelPart(_pattern(rows, spare, i), values, constant and bool(subjects)))
    return _pattern(rows, spans), subjects, why, _once(labels, taken)


def _of_a_date(tokens: Sequence[str], i: int) -> bool:
    """Whether it is one of three numbers or more with points, strokes or colons between them."""
    first = last = i
    while first >= 2 and tokens[first - 2].isdigit() and tokens[first - 1] in (".", "-", ":"):
        first -= 2
    while last + 2 < len(tokens) and tokens[last + 2].isdigit() and tokens[last + 1] in (".", "-", ":"):
        last += 2
    return tokens[i].isdigit() and last - first >= 4


def _apart(rows: Sequence[Sequence[str]], i: int, spans: Sequence[Span]) -> bool:
    """Whether a part of the subject's name can be told apart: the name stands twice, and this is not the first."""
    return len(spans) > 1 and not spans[0][0] <= i < spans[0][1] and rows[0][i].isalpha()


def _once(labels: Sequence[LabelPart], taken: set[int]) -> list[LabelPart]:
    """Without parts that say the same as one before them."""
    seen, found = set(), []
    for label in labels:
        key = tuple(sorted(label.counts.items()))
        if key not in seen:
            seen.add(key)
            found.append(label)
    return found


def _subject(rows: Sequence[Sequence[str]]) -> tuple[list[Span], str]:
    """Where the subject stands in names of one form, every time, and how it was found."""
    first = rows[0]
    for i, token in enumerate(first[:-2]):
        if token == "sub" and first[i + 1] == "-" and all(row[i : i + 2] == ["sub", "-"] for row in rows):
            end = _until(first, i + 2, ("_", "/", "."))
            return _every([(i + 2, end)], rows), "BIDS's sub-"
    for i in range(len(first)):
        words = {row[i].casefold() for row in rows}
        for between in (1, 2):
            number = i + between
            if words <= {*WORDS} and number < len(first) and first[number].isdigit():
                if between == 2 and not re.fullmatch(r"[-_ ]+", first[i + 1]):
                    continue
                before = first[i - 1] if i else "/"
                if not before.isdigit():
                    return _every([(i, number + 1)], rows), f'"{first[i]}" before a number'
    for span in _folders(first):
        end = span[1] + 1 + span[1] - span[0]
        if all(row[slice(*span)] == row[span[1] + 1 : end] for row in rows) and _values(rows, span) > 1:
            return _every([span], rows), "the folder, whose name begins its files' names"
    for span in _folders(first):
        if _values(rows, span) > 2:
            return _every([span], rows), "the folder"
    return [], ""


def _folders(tokens: Sequence[str]) -> list[Span]:
    edges = [-1, *(i for i, token in enumerate(tokens) if token == "/")]
    return [(a + 1, b) for a, b in itertools.pairwise(edges)]


def _values(rows: Sequence[Sequence[str]], span: Span) -> int:
    return len({"".join(row[slice(*span)]) for row in rows})


def _until(tokens: Sequence[str], start: int, signs: Sequence[str]) -> int:
    return next((i for i in range(start, len(tokens)) if tokens[i] in signs), len(tokens))


def _every(spans: list[Span], rows: Sequence[Sequence[str]]) -> list[Span]:
    """The span, and every later one that holds the same text in all names."""
    (first, after), n = spans[0], len(rows[0])
    width, found, i = after - first, list(spans), after
    while i + width <= n:
        if all(row[i : i + width] == row[first:after] for row in rows):
            found.append((i, i + width))
            i += width
        else:
            i += 1
    return found


def _pattern(rows: Sequence[Sequence[str]], spans: Sequence[Span], label: int | None = None) -> str:
    """The pattern of names of one form, with {subject} at the spans and {label} at a token; what varies is `*`."""
    starts = dict(spans)
    parts: list[str] = []
    i = 0
    while i < len(rows[0]):
        if i in starts:
            parts.append("{subject}")
            i = starts[i]
            continue
        values = {row[i] for row in rows}
        if i == label:
            parts.append("{label}")
        elif len(values) > 1:
            parts.append("*")
        else:
            (text,) = values
            parts.append("".join("?" if sign in WILD else sign for sign in text))
        i += 1
    return "/".join(_merged(component) for component in _components(parts))


def _components(parts: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for part in parts:
        if part == "/":
            found.append([])
        else:
            found[-1].append(part)
    return found


def _merged(parts: list[str]) -> str:
    """One part of a path: stretches from one `*` to the next, without what is wanted between, are one `*`.

    A number beside them is one of theirs by chance, as the year of a date.
    """
    chunks: list[list[str]] = [[]]
    for part in parts:
        if part in ("{subject}", "{label}"):
            chunks += [[part], []]
        else:
            chunks[-1].append(part)
    texts = []
    for chunk in chunks:
        stars = [i for i, part in enumerate(chunk) if part == "*"]
        if not stars:
            texts.append("".join(chunk))
            continue
        numbers = [i for i, part in enumerate(chunk[:-1]) if part.isdigit()]
        first, last = min(stars + numbers), max(stars + numbers)
        texts.append("".join(chunk[:first]) + "*" + "".join(chunk[last + 1 :]))
    return "".join(texts)
