"""Run pages of the documentation and write into them what came out: python -m tests.docs docs/tutorials/first_run.md"""

import os
import sys
from pathlib import Path

from tests.docs.pages import Page, written

for name in sys.argv[1:]:
    page = Page(Path(name))
    data = os.environ.get("EEGFM_TEST_DATA")
    page.path.write_text(written(page, Path(data) if data else None), encoding="utf-8")
