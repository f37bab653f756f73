"""Notebooks are their pages: the same commands, one text for both."""

import json
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Page

EXAMPLES = PAGES.parent / "examples"


@pytest.fixture
def notebooks(monkeypatch):
    monkeypatch.syspath_prepend(PAGES / "_ext")
    import notebooks

    return notebooks


def code_of(notebook) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_a_tutorials_notebook_types_what_its_page_types(notebooks):
    page = Page(PAGES / "tutorials" / "apply.md")
    code = code_of(notebooks.notebook(page.text))
    assert [one.removeprefix("%%bash\n") for one in code if one.startswith("%%bash")] == [
        command.typed for command in page.commands()
    ]
    assert any(one.startswith("import eegfm, glob\nmodel = eegfm.load(") for one in code)


def test_the_example_is_the_page_whose_code_is_run(notebooks):
    file = EXAMPLES / "three_calls.ipynb"
    text = (PAGES / "howto" / "from_python.md").read_text(encoding="utf-8")
    assert file.read_text(encoding="utf-8") == notebooks.as_json(text), (
        f"write it anew: {sys.executable} -c \"import sys; sys.path.insert(0, 'docs/_ext'); import notebooks; "
        f'notebooks.example()"'
    )
    for cell in code_of(json.loads(file.read_text(encoding="utf-8"))):
        compile(cell, Path(file).name, "exec")
