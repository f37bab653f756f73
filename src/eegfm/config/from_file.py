"""A config that comes from a file, a run's or a checkpoint's: read as data, and built only where `conf/` could say it.

The file may be somebody else's. A `_target_` can name any function of any package, and `${oc.env:...}` any secret of
this machine. So nothing in it is resolved but the four places in `paths`, which are this machine's own; and nothing is
imported before every target stands in the tree of `conf/` with its arguments, or in a module that the person at the
keyboard trusts. What a person types is not read here, and stays free.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.config.make import refuse_wrong_values
from eegfm.config.own import named_here
from eegfm.config.schema import config_dir, configured_paths
from eegfm.config.signatures import arguments, code_of, is_class
from eegfm.contracts import EegfmError
from eegfm.support.checksums import refuse_changed
from eegfm.support.trust import OWN_PATH, trusted

log = logging.getLogger(__name__)

CHARACTERS, NODES, DEPTH = 1_000_000, 50_000, 40  # of a file; a mix of ten corpora has 20,000, 600 and 6
LARGEST = 2**32  # of a number: a seed may be as large
MOST = {"num_workers": 1024, "prepare_workers": 1024, "batch_size": 2**20}
PLACE = re.compile(r"\$\{paths\.(raw|weights|cache|runs)\}")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
BUILT = ("data", "encoder", "split", "task", "model", "trainer")  # what a finished run is used by
GETS = "hydra.utils.get_object"
STEPS = "eegfm.signal.steps."  # data.steps names any of them


def read(text: str, who: str) -> dict[str, Any]:
    """The plain values of a config's YAML, its references as they are written; `who` is the file, for messages.

    Raises:
        EegfmError: it is no config, or larger or deeper than any run's.
    """
    if len(text) > CHARACTERS:
        raise EegfmError(f"{who}: a config of {len(text):,} characters. A run's has a few thousand.")
    try:
        _refuse_shape(text, who)
        found = OmegaConf.to_container(OmegaConf.create(text))
    except yaml.YAMLError as error:  # without the line itself, which may be of another file
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise EegfmError(f"{who} is damaged: it is no YAML{place}.") from None
    except (OmegaConfBaseException, ValueError, RecursionError) as error:
        if isinstance(error, EegfmError):
            raise
        raise EegfmError(f"{who} is damaged, or no config of a run ({type(error).__name__}).") from None
    if not isinstance(found, dict):
        raise EegfmError(f"{who} is damaged, or no config of a run: names and values are wanted.")
    for name in ("seen", "paths", "selection", "logger", *BUILT):
        if not isinstance(found.get(name), dict | None):
            raise EegfmError(f"{who}: {name} is a {type(found[name]).__name__}, and settings are wanted.")
    return {str(name): value for name, value in found.items()}


def text_of(path: Path) -> str:
    """The text of a file that says a config.

    Raises:
        EegfmError: it is no text, or no file of that size, or not as it was written, as far as a sum beside it tells.
    """
    refuse_changed(path)
    try:
        if path.is_file() and path.stat().st_size <= 4 * CHARACTERS:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EegfmError(f"{path} cannot be read as text: {type(error).__name__}.") from None
    raise EegfmError(f"{path} is no config of a run, which has a few thousand characters.")


def buildable(text: str, who: str, trust: Sequence[str] = ()) -> DictConfig:
    """The config of a run, for building its model and data here.

    `paths` are those of this machine. A cache or raw folder that is not there is looked for in them. What trained the
    run (callbacks, a search, a pre-training) is left out, and where it sent its curves to.

    Args:
        text: the config as YAML.
        who: the file, for messages.
        trust: modules, or packages, whose classes and functions it may name beside those of `conf/`.

    Raises:
        EegfmError: see `read`; or it names something that `conf/` does not, or a size that no run has.
    """
    found = read(text, who)
    for name in ("callbacks", "search", "pretrain", "logger"):
        found[name] = {}
    found = _disarmed(found)
    for name in BUILT:
        for path, node in _nodes(found.get(name), name):
            _refuse_target(node, path, who, trust)
            _refuse_sizes(node, path, who)
    lacking = [name for name in ("data", "model", "task", "seed") if found.get(name) is None]
    if lacking or not isinstance(found["seed"], int):
        raise EegfmError(
            f"{who} is no config of a run: it has no {' and no '.join(lacking) or 'number for seed'}."
        )
    found["paths"] = configured_paths()
    data = found["data"]
    corpora = data.get("corpora")
    for name, one in {"data": data, **(corpora if isinstance(corpora, dict) else {})}.items():
        if isinstance(one, dict):
            _settle(one, name)
    model = found["model"]
    if model.get("_target_") in OWN_PATH and model.get("code") not in (None, code_of(model)):
        log.warning("%s was made with another version of the file of %s.", who, model["path"])
    config = DictConfig(found)
    refuse_wrong_values(config)
    return config


# ---- size and shape --------------------------------------------------------------------------------------------------


def _refuse_shape(text: str, who: str) -> None:
    """Raise EegfmError for YAML that is larger when it is read than as it is written."""
    depth = 0
    for n, event in enumerate(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
        if isinstance(event, yaml.AliasEvent):
            raise EegfmError(f"{who}: a config of a run has no aliases ({event.start_mark.line + 1}).")
        if getattr(event, "tag", None) is not None:
            raise EegfmError(f"{who}: a config of a run has no tags (line {event.start_mark.line + 1}).")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH or n > NODES:
            raise EegfmError(f"{who}: more than {DEPTH} levels or {NODES:,} values. No run's config has.")


def _refuse_sizes(node: dict[str, Any], path: str, who: str) -> None:
    for key, value in node.items():
        for one in value if isinstance(value, list) else [value]:
            most = MOST.get(key, LARGEST)
            if isinstance(one, int | float) and not (math.isfinite(one) and abs(one) <= most):
                raise EegfmError(
                    f"{who}: {path}.{key} is {_short(one)}; at most {most:,} is read from a file."
                )
            if isinstance(one, str) and (one == "???" or "\0" in one or len(one) > 4096):
                raise EegfmError(f"{who}: {path}.{key} is missing or damaged; a run has a value for it.")


def _short(value: Any) -> str:
    if isinstance(value, dict | list):  # perhaps without end
        return f"a {type(value).__name__}"
    text = (
        f"{value:.3g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
    return text if len(text) <= 80 else f"{text[:80]} ..."


# ---- references ------------------------------------------------------------------------------------------------------


def _disarmed(value: Any) -> Any:
    """The same values, in which no reference is one but to a place at the beginning of a path."""
    if isinstance(value, dict):
        return {key: _disarmed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_disarmed(one) for one in value]
    if not isinstance(value, str):
        return value
    place = PLACE.match(value)
    begins = place.end() if place else 0
    return value[:begins] + value[begins:].replace("${", "$ {")


def _settle(data: dict[str, Any], name: str) -> None:
    """Leave the folders of a data node where something of that kind is there; else take this machine's own.

    Stores are written into a cache, and simulated recordings into a raw folder: into no other folders.
    """
    data |= {"download": False} if "download" in data else {}
    cache, raw, benchmark = (data.get(key) for key in ("cache", "raw", "benchmark"))
    simulated = isinstance(benchmark, dict) and "synthetic" in str(benchmark.get("path"))
    if cache is not None and not (_is_ours(cache) or _has(str(cache), "*/*/recipe.json")):
        data["cache"] = "${paths.cache}"
    if raw is not None and not (
        _is_ours(raw) or _has(str(raw), "synthetic_*_raw.fif" if simulated else "*")
    ):
        own = "synthetic" if simulated else Path(str(raw)).name.strip(".") or name
        data["raw"] = f"${{paths.raw}}/{own}"


def _is_ours(folder: Any) -> bool:
    return bool(PLACE.match(str(folder))) and ".." not in Path(str(folder)).parts


def _has(folder: str, pattern: str) -> bool:
    try:
        return next(Path(folder).glob(pattern), None) is not None
    except OSError:
        return False


# ---- targets ---------------------------------------------------------------------------------------------------------


def _refuse_target(node: dict[str, Any], path: str, who: str, trust: Sequence[str]) -> None:
    """Raise EegfmError for a node that makes what `conf/` does not name, or with other arguments. Imports nothing."""
    special = [key for key in node if key.startswith("_") and key not in ("_target_", "_partial_")]
    if special:
        raise EegfmError(f"{who}: {path}.{special[0]} is not read from a file.")
    if "_target_" not in node:
        return
    target = str(node["_target_"])

    if trusted(target, trust):
        return
    known = _named().get(target)
    by_name = (
        ("reader", "path") if target in (*OWN_PATH, GETS) else ("reader",)
    )  # somebody's own, by its name
    for key in by_name:
        named = node.get(key)
        ours = target == GETS and named in (known or {}).get(key, ())
        ours = ours or (isinstance(named, str) and named in named_here(key))
        if named is not None and not ours and not (isinstance(named, str) and trusted(named, trust)):
            typed = f" If you trust who wrote it, type trust={str(named).rpartition('.')[0]}"
            raise EegfmError(
                f"{who}: {path}.{key} is {_short(named)}, which conf/ does not name: code outside of eegfm. So a file "
                f"could run anything: it was not imported.{typed * (DOTTED.fullmatch(str(named)) is not None)}"
            )
    dotted = DOTTED.fullmatch(target) is not None
    if known is None and dotted and target.startswith(STEPS) and is_class(target):
        known = {}
    if known is None:
        typed = (
            f" If you trust who wrote that module, type trust={target.rpartition('.')[0]}" if dotted else ""
        )
        raise EegfmError(
            f"{who}: {path} names {_short(target)}, which conf/ does not. So a file could run anything: it was not "
            f"imported.{typed}"
        )
    ours = arguments(target)
    for key, value in node.items():
        if key in ("_target_", "_partial_", "seen"):
            continue
        # of another package the tree's arguments, or plain numbers, which name nothing
        if ours is None and key not in known and not isinstance(value, int | float | None):
            raise EegfmError(f"{who}: {path}.{key} is no argument that conf/ gives {target}.")
        if ours is not None and key not in ours:
            raise EegfmError(f"{who}: {path}.{key}: {target} has no such argument.")


@cache
def _named() -> dict[str, dict[str, list[Any]]]:
    """What the files of `conf/` make: by target the arguments that they give it, with their values."""
    found: dict[str, dict[str, list[Any]]] = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted(config_dir().rglob("*.yaml")):
        for _, node in _nodes(yaml.load(file.read_text(encoding="utf-8"), Loader=loader), ""):
            if "_target_" in node:
                of_target = found.setdefault(node["_target_"], {})
                for key, value in node.items():
                    of_target.setdefault(key, []).append(value)
    return found


def _nodes(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping at or below a value, with its path."""
    if isinstance(value, dict):
        value = {str(key): one for key, one in value.items()}
        yield path, value
        for key, one in value.items():
            yield from _nodes(one, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _nodes(one, f"{path}[{i}]")
