"""The rows of `eegfm doctor`, as text and as JSON."""

import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["ok", "absent", "warning", "off"]


MARK = {"ok": "ok", "absent": "–", "warning": "warn", "off": "OFF"}


WIDTH = 80


GB = 1e9


LITTLE = 2 * GB  # room for the store of a small benchmark and the checkpoints of some runs


@dataclass(frozen=True)
class Row:
    """One examined thing. The verdict "absent" means optional and not installed; `remedy` is the command to type.

    `facts` tell programs the same as `found` tells people.
    """

    section: str
    name: str
    found: str
    verdict: Verdict = "ok"
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def as_text(rows: Sequence[Row], width: int = WIDTH) -> str:
    """The rows as text: a line for each, then the commands that repair or add something, never broken over lines."""
    lines: list[str] = []
    section = None
    for row in rows:
        if row.section != section:
            lines += ([""] if lines else []) + [row.section]
            section = row.section
        head = f"  {MARK[row.verdict]:<5}{row.name:<15}"
        if len(row.name) > 14:
            lines.append(head.rstrip())
            head = ""
        lines += textwrap.wrap(
            row.found,
            width,
            initial_indent=head or " " * 22,
            subsequent_indent=" " * 22,
            break_on_hyphens=False,
        )
    for title, verdicts in (("to repair", ("off", "warning")), ("to add what is optional", ("absent",))):
        chosen = [row for row in rows if row.verdict in verdicts and row.remedy]
        lines += ["", title] if chosen else []
        for row in chosen:
            lines.append(f"  {row.section}, {row.name}")
            lines += [f"    {command}" for command in row.remedy.splitlines()]
    n = {verdict: sum(row.verdict == verdict for row in rows) for verdict in MARK}
    warned = f"{n['warning']} warning{'s' * (n['warning'] != 1)}"
    return "\n".join(
        [*lines, "", f"{n['ok']} ok, {n['absent']} optional and absent, {warned}, {n['off']} off"]
    )


def as_json(rows: Sequence[Row]) -> str:
    """The rows as JSON by section and name, without home folder, user name and keys."""
    sections: dict[str, dict[str, Any]] = {}
    for row in rows:
        values = {"verdict": row.verdict, "found": row.found, "remedy": row.remedy, "facts": row.facts}
        sections.setdefault(row.section, {})[row.name] = values
    return json.dumps(_private(sections), indent=2, ensure_ascii=False)


def _private(value: Any) -> Any:
    """The value with private names removed from every text in it."""
    if isinstance(value, dict):
        return {key: _private(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_private(item) for item in value]
    return _without_names(value) if isinstance(value, str) else value


def _without_names(text: str) -> str:
    for key, secret in os.environ.items():
        if len(secret) >= 8 and re.search(r"(KEY|TOKEN|SECRET|PASSWORD)$", key):
            text = text.replace(secret, "<secret>")
    homes = {str(Path.home()), str(Path.home().resolve())}
    for home in sorted(homes - {"/"}, key=len, reverse=True):
        text = text.replace(home, "~")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\\s'\",:;)]|$)", "<user>", text)


def python() -> str:
    """This Python, as one types it in the current folder."""
    here, executable = Path.cwd(), Path(sys.executable)
    path = executable.relative_to(here) if executable.is_relative_to(here) else executable
    return shlex.quote(str(path))


def pip() -> str:
    return f"{python()} -m pip"


def is_findable(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def output_of(*command: str) -> str:
    """What a program prints; "" if it is absent or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
