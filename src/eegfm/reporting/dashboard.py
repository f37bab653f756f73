"""The page of an experiment: every run with its state and scores, curves, intervals and figures, in one HTML file.

It needs nothing else: no server, no network, no library. What is shown lies in it as JSON; `dashboard.js` draws it,
sorts and filters. Numbers are those of a report (`groups`, `scores`); a run without a score is a row as
well, with its reason.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from eegfm.drawing.html import LIGHT_AND_DARK, PICTURES, document, paragraph
from eegfm.reporting.dashboard_facts import collected
from eegfm.runs.results import json_values

# nothing is fetched, and no script runs but the page's own
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; script-src"


def page(folder: Path, to: Path, jobs: Mapping[str, str] | None = None) -> str:
    """The page of the runs at or below a folder, to lie at `to`, as HTML; `jobs` is `eegfm.runs.status.queue()`.

    Raises:
        ValueError: no such folder, or no run in it.
    """
    facts = collected(folder, to, jobs)
    script = _beside("dashboard.js")
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY} {allowed}">'
    # JSON may say the same with "<" spelled out, and then nothing in it ends the element
    data = json.dumps(json_values(facts), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    body = [
        f"<header><h1>{escape(facts['title'])}</h1>",
        paragraph(_lead(facts)),
        "</header><main><noscript><p>This page is drawn by its own script, which is switched off here.</p></noscript>",
        "</main>",
        f'<script type="application/json" id="facts">{data}</script>',
        f"<script>{script}</script>",
    ]
    return document(
        f"{facts['title']}: runs", PICTURES + _beside("dashboard.css"), body, head=LIGHT_AND_DARK + head
    )


def _lead(facts: Mapping[str, Any]) -> str:
    cells = facts["cells"]
    states = [cell["state"] for cell in cells]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    code = ", ".join(facts["commits"])
    return (
        f"{len(cells)} run{'s' * (len(cells) != 1)} of {facts['folder']}: {counts}. As they were at {facts['made']}; "
        f"eegfm {facts['version']} made this page{f', the runs are of commit {code}' if code else ''}. "
        f"A new one: eegfm dashboard {facts['folder']}"
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
