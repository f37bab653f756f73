"""The page of an experiment: every run with its state and scores, curves, intervals and figures, in one HTML file.

The file needs no server, no network and no library. It holds its facts as JSON; `dashboard.js` draws, sorts and
filters them. Numbers are those of a report (`groups`, `scores`); a run without a score is also a row, with its reason.
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

# the page fetches nothing and runs no script but its own
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; script-src"


def page(folder: Path, to: Path, jobs: Mapping[str, str] | None = None) -> str:
    """The HTML page of the runs at or below a folder.

    `to` is where the caller will write the page, for the links in it; `jobs` is `eegfm.runs.slurm.queue()`.

    Raises:
        ValueError: the folder does not exist, or holds no run.
    """
    facts = collected(folder, to, jobs)
    script = _beside("dashboard.js")
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY} {allowed}">'
    # JSON may write "<" as an escape; without "<" no text in it can close the element
    data = json.dumps(json_values(facts), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    body = [
        f"<header><h1>{escape(facts['title'])}</h1>",
        paragraph(_lead(facts)),
        "</header><main><noscript><p>A script draws this page, and scripts are switched off here.</p></noscript>",
        "</main>",
        f'<script type="application/json" id="facts">{data}</script>',
        f"<script>{script}</script>",
    ]
    return document(
        f"{facts['title']}: runs", PICTURES + _beside("dashboard.css"), body, head=LIGHT_AND_DARK + head
    )


def _lead(facts: Mapping[str, Any]) -> str:
    """How many runs there are in each state, and when and by which version the page was made."""
    cells = facts["cells"]
    states = [cell["state"] for cell in cells]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    code = ", ".join(facts["commits"])
    return (
        f"{len(cells)} run{'s' * (len(cells) != 1)} of {facts['folder']}: {counts}. State at {facts['made']}; "
        f"eegfm {facts['version']} made this page{f'; the runs are of commit {code}' if code else ''}. "
        f"To make it again, type: eegfm dashboard {facts['folder']}"
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
