"""Refuse a composed config that no run can have, before anything heavy is loaded.

Beside wrong values (`eegfm.config.make`) these are choices that do not go together (a row of another model), a
person's own option that something else overrules, a value struck out, and a run or a recording that is nowhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eegfm.config.identity import PRETRAIN, PUBLISHED
from eegfm.config.make import refuse_wrong_values
from eegfm.config.options import PARTS, Option
from eegfm.config.undecided import refuse_undecided
from eegfm.contracts import EegfmError

# they set values of the groups below; the one composed last comes first
RECIPES = ("experiment", "search", "adapt", "row")
GROUPS = ("model", "encoder", "task", "data", "split", "trainer", "callbacks")


def refuse(config: DictConfig, hydra: Any, folder: Path) -> None:
    """Raise EegfmError for a mistake that the composed config shows.

    `hydra` is the node in which Hydra says what was typed and chosen; `folder` is that of the run, which needs nothing
    more if it has ended.
    """
    _refuse_together(config, hydra)
    _refuse_without_a_class(config, hydra)
    refuse_undecided(config, hydra)
    below = str(config.get("folder") or "")
    if below.startswith(".") or "/" in below or "\\" in below:
        raise EegfmError(
            f"folder={below}: a name below runs/ is wanted. Another place for all runs: paths.runs=<path>"
        )
    refuse_wrong_values(config)
    if not (folder / "result.json").exists():
        _refuse_absent(config)


def _refuse_without_a_class(config: DictConfig, hydra: Any) -> None:
    """Raise EegfmError for an option that says nothing, such as an empty file of a person's own."""
    for group in ("data", "model", "task"):
        option, node = hydra.runtime.choices.get(group), config.get(group)
        if option and OmegaConf.is_dict(node) and "_target_" not in node:
            start = (
                "defaults: [shared/own@_here_, _self_]" if group == "data" else "_target_: <module>.<class>"
            )
            raise EegfmError(
                f"{group}={option}: the file {group}/{option}.yaml does not say what to make. It has to begin with "
                f"{start}" + (" (eegfm new <folder> writes one)." if group == "data" else ".")
            )


def _refuse_absent(config: DictConfig) -> None:
    """Raise EegfmError for a run, weights or a recording that are nowhere, without loading what reads them."""
    for key in ("weights", "run", "file", "lmdb"):
        path = config.get(key)
        if path in (None, PUBLISHED, PRETRAIN) or Path(str(path)).expanduser().exists():
            continue
        what = {"run": "run and no checkpoint", "weights": "run and no checkpoint"}.get(
            key, "file or folder"
        )
        raise EegfmError(f"{key}={path}: there is no {what} of that name.")


def _refuse_together(config: DictConfig, hydra: Any) -> None:
    typed = [*hydra.overrides.task]
    _refuse_struck_out(config, typed)
    for group in (*RECIPES, *GROUPS):
        part, _, inside = str(hydra.runtime.choices.get(group)).partition("/")
        if inside and part in PARTS:
            meant = f" Did you mean {group}/{part}={inside}?" * (part != "shared")
            raise EegfmError(f"{group}={part}/{inside}: {group} has no {part}/{inside}.{meant}")
    folders = [Path(one.path) for one in hydra.runtime.config_sources if one.schema == "file"]
    chosen = {
        group: Option.of(group, option, folders)
        for group, option in hydra.runtime.choices.items()
        if group in (*RECIPES, *GROUPS) and option is not None
    }
    values: Any = OmegaConf.to_container(config, resolve=False)
    for recipe in (chosen[group] for group in RECIPES if group in chosen):
        _refuse_another(recipe, chosen, values, folders)
    keys = {text.partition("=")[0].lstrip("+~") for text in typed}
    for group in GROUPS:
        if group in keys and group in chosen:
            _refuse_overruled(chosen, group, values, keys - chosen.keys())


def _refuse_struck_out(config: DictConfig, typed: list[str]) -> None:
    """Refuse `~data.batch_size`: another value would hold, of which the run says nothing.

    Where another class was typed for the node, it may well not have that argument.
    """
    anew = {
        text.partition("=")[0].lstrip("+").removesuffix("._target_")
        for text in typed
        if "._target_=" in text
    }
    for text in typed:
        key = text.removeprefix("~").partition("=")[0]
        node, _, name = key.rpartition(".")
        parent: Any = (
            OmegaConf.select(config, node) if text.startswith("~") and node and "/" not in key else None
        )
        if OmegaConf.is_dict(parent) and "_target_" in parent and node not in anew:
            raise EegfmError(f"~{key}: {node} needs its {name}. To change it, type {key}=<value>")


def _refuse_another(
    recipe: Option, chosen: Mapping[str, Option], values: Mapping[str, Any], folders: Sequence[Path]
) -> None:
    """Refuse a row, an adaptation or an experiment that is for another model, encoder or task than the chosen one.

    One of the same class, such as a person's variation, will do; so will any if the recipe sets nothing of it.
    """
    for group in ("model", "encoder", "task"):
        wanted, has = recipe.chooses.get(group), chosen.get(group)
        if wanted is None or has is None or has.name == wanted:
            continue
        is_of_one_model = group == "model" and recipe.group in ("row", "adapt")
        if not is_of_one_model and not any(key.startswith(f"{group}.") for key in recipe.values):
            continue
        target = str((values.get(group) or {}).get("_target_"))
        if target.startswith("eegfm.") and target != Option.of(group, wanted, folders).values.get(
            f"{group}._target_"
        ):
            raise EegfmError(f"{recipe} is for {group}={wanted}; you have {has}. Leave one of the two out.")


def _refuse_overruled(
    chosen: Mapping[str, Option], group: str, values: Mapping[str, Any], typed: set[str]
) -> None:
    """Refuse values over those of an option that a person typed, unless she typed these keys as well.

    Of our options only variations count (`defaults: [auto, _self_]`): what the others say are defaults.
    """
    option = chosen[group]
    if option.ours and not option.start:
        return
    for recipe in (chosen[one] for one in RECIPES if one in chosen):
        keys = [
            key
            for key, value in option.own.items()
            if _at(values, key) != value and _touches(key, recipe.values) and not _touches(key, typed)
        ]
        if keys:
            theirs = " ".join(f"{key}={_typed(option.own[key])}" for key in keys)
            its = " ".join(f"{key}={_typed(_at(values, key))}" for key in keys)
            raise EegfmError(
                f"{recipe} overrules {option}. To have what {option} says, type {theirs} and to have what {recipe} "
                f"says, {its}"
            )


def _at(values: Any, key: str) -> Any:
    """The value at a dotted key, or what stands in the place of a node on the way to it."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else values
    return values


def _touches(key: str, others: Iterable[str]) -> bool:
    """Whether one of these keys is this key, or above or below it."""
    return any(f"{key}.".startswith(f"{one}.") or one.startswith(f"{key}.") for one in others)


def _typed(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_typed(one)}" for key, one in value.items()) + "}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
