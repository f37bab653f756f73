"""Keys that a person's own data set leaves at ???: which they are, in which file, and what they may be."""

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eegfm.config.own import searched
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError

TARGET = "eegfm.benchmarks.own.declared.benchmark"
SHARED = "data/shared/own.yaml"  # where every key has its comment


def refuse_undecided(config: DictConfig, hydra: Any) -> None:
    """Raise EegfmError, with all keys at once, for a data set of a person's own that has some without a value."""
    node = OmegaConf.select(config, "data.benchmark")
    if not OmegaConf.is_dict(node) or node.get("_target_") != TARGET:
        return
    option = str(hydra.runtime.choices.get("data"))
    file = next(
        (one for folder in searched() if (one := folder / "data" / f"{option}.yaml").is_file()), None
    )
    missing = {str(key) for key in node if OmegaConf.is_missing(node, key)}
    if file is not None:
        typed = " ".join(hydra.overrides.task)
        # over a value that is there, a ??? is no value to Hydra: it would be taken for the default, and nobody told
        missing |= {key for key in _left(file) if f"data.benchmark.{key}" not in typed}
    if not missing:
        return
    own = comments(file) if file is not None else {}
    usual = comments(config_dir() / SHARED)
    order = [key for key in (*own, *usual) if key in missing]
    keys = [*dict.fromkeys(order), *sorted(missing - {*order})]
    where = f"data={option}" if file is None else str(_from_here(file))
    n = f"{len(keys)} keys are" if len(keys) > 1 else "1 key is"
    lines = [f"{where}: {n} not decided. Put a value in the place of each ???:"]
    for key in keys:
        lines += ["", f"  {key}: ???", *(f"    {line}" for line in own.get(key) or usual.get(key, ()))]
    raise EegfmError("\n".join(lines))


def _left(file: Path) -> list[str]:
    """The keys of `benchmark` that are ??? in the file itself."""
    node = OmegaConf.select(OmegaConf.load(file), "benchmark")
    return [str(key) for key in node if OmegaConf.is_missing(node, key)] if OmegaConf.is_dict(node) else []


def comments(file: Path) -> dict[str, list[str]]:
    """What the comments of a data set's YAML say of each key of `benchmark`: those above it and behind its value."""
    found: dict[str, list[str]] = {}
    above: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("  # "):
            above.append(line.removeprefix("  # "))
        elif key := re.match(r"  (\w+):[^#]*(?:#\s*(.*))?$", line):
            said = [*above, key[2]] if key[2] else above
            found[key[1]] = [re.sub(rf"^{key[1]}: ", "", one) for one in said]
            above = []
        elif line.strip() != "#":
            above = []
    return found


def _from_here(file: Path) -> Path:
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
