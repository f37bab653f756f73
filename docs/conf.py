"""How the documentation is built: `make docs`. Without network; a warning is an error."""

import sys
from pathlib import Path

from eegfm.version import __version__

sys.path[:0] = [str(Path(__file__).parent / "_ext")]

project = "eegfm"
author = "the eegfm authors"
copyright = "the eegfm authors, MIT licence"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "from_the_tree",
]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
default_role = "code"  # docstrings name things in single backticks
nitpicky = False
suppress_warnings = ["misc.highlighting_failure"]  # YAML and shell with <placeholders> is shown as it is

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_mock_imports = []

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"eegfm {__version__}"
html_static_path = ["_static"]
html_css_files = ["eegfm.css"]
html_copy_source = False
