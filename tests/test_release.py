"""What a release says of itself is one version, everywhere, and its files are what tools of others read."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from eegfm.version import __version__

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_changelog_citation_and_tag():
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == __version__ and citation["cff-version"] == "1.2.0"
    tags = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert not [tag for tag in tags if re.match(r"v\d", tag) and tag != f"v{__version__}"]


def test_types_go_with_the_package_and_what_a_release_names_is_there():
    assert (ROOT / "src/eegfm/py.typed").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for path in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (ROOT / path.strip("/")).exists(), path
    wanted = re.findall(r"3\.\d+", " ".join(project["project"]["classifiers"]))
    low, high = re.findall(r"3\.(\d+)", project["project"]["requires-python"])
    assert wanted == [f"3.{minor}" for minor in range(int(low), int(high))]
