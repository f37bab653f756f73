"""Rewrite typed settings as Hydra wants them; if Hydra refuses them, say in one sentence what is wrong.

Hydra's own messages do not suggest similar words, and advise to append with `+`, which makes a typing error
part of the config. So this module looks for the wrong word again, in the tree that Hydra searched.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.config.make import NEEDED
from eegfm.config.options import PARTS, Option
from eegfm.config.schema import config_dir
from eegfm.support.words import unknown

KEY = re.compile(r"[+~]{0,2}[\w./@]+=")
PATH = re.compile(r"(/|~/|\.{1,2}/)")
FOLDER = re.compile(r"paths\.\w+|hydra\.(run|sweep)\.(dir|subdir)|EEGFM_(DATA|CACHE|RUNS|WEIGHTS)")
ANY_NAME = re.compile(
    r"model\.(args|options)\.\w"
)  # arguments of somebody's class, which no file of ours lists
WANTED = {
    "Integer": "a whole number",
    "Float": "a number",
    "Boolean": "true or false",
    "bool": "true or false",
}


# ---- what was typed, as Hydra wants it -------------------------------------------------------------------------------


def for_hydra(typed: str, config_name: str) -> str:
    """One argument, with quotes around a path whose characters Hydra would take for its grammar.

    `group=null` becomes `~group` if the group needs no option: for Hydra null is not an option.
    """
    key = KEY.match(typed)
    value = typed[key.end() :] if key else ""
    if not key or value[:1] in ("", "'", '"', "[", "{", "$"):
        return typed
    group = key.group().rstrip("=")
    if ANY_NAME.match(typed):
        typed, key = f"++{typed}", KEY.match(f"++{typed}")
        assert key is not None
    if value == "null" and group in optional_groups(config_name):
        return f"~{group}"
    return f"{key.group()}{_quoted(value)}" if _wants_quotes(typed, value) else typed


def optional_groups(config_name: str) -> set[str]:
    """The groups of a command that need no option."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    defaults = [one for one in yaml.safe_load(text)["defaults"] if isinstance(one, dict)]
    return {group for one in defaults for group, option in one.items() if option is None}


def _quoted(value: str) -> str:
    """In Hydra's grammar: a quote within is escaped, and so are the backslashes that stand before a quote."""
    return (
        "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value) + "'"
    )


def _wants_quotes(typed: str, value: str) -> bool:
    is_path = bool(PATH.match(value))
    try:
        override = OverridesParser.create().parse_override(typed)
    except HydraException:
        return is_path or "(" not in value  # choice(1,2 is a mistyped sweep
    # /a,/b is a sweep over two paths; /a,b is one path
    return override.is_choice_sweep() and is_path and not all(map(PATH.match, value.split(",")))


def without_folder(typed: Iterable[str], environment: Mapping[str, str]) -> str:
    """The sentence for a folder that is set to nothing: a run would go to the root of the disk; else empty."""
    for name, value in [*(text.split("=", 1) for text in typed if "=" in text), *environment.items()]:
        if FOLDER.fullmatch(name) and not value.strip("'\" "):
            return f"{name}=: this names no folder. Type {name}=<folder>, or leave it out."
    return ""


# ---- what is wrong with it -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Argument:
    """A setting as a person typed it, and as Hydra reads it."""

    typed: str
    override: Override

    @property
    def key(self) -> str:
        return self.override.key_or_group

    @property
    def for_hydra(self) -> str:
        return str(self.override.input_line)

    def is_a_sweep_in(self, error: Exception) -> bool:
        """Whether it has several values, and Hydra wanted one."""
        return self.override.is_sweep_override() and str(error).startswith("Ambiguous value")


@dataclass(frozen=True)
class Tree:
    """The config tree of a command, with the person's own folders of options (`more`)."""

    loader: ConfigLoader
    config_name: str
    more: Sequence[str]

    def options(self, group: str) -> list[str]:
        """The options of a group and of its folders (`published/tuev`); empty if there is no such group."""
        folders = [name for name in self.inside(group, ObjectType.GROUP) if name not in PARTS]
        inner = [f"{f}/{one}" for f in folders for one in self.inside(f"{group}/{f}", ObjectType.CONFIG)]
        return [*self.inside(group, ObjectType.CONFIG), *inner]

    def inside(self, group: str, kind: ObjectType) -> list[str]:
        """The options or the groups in a group."""
        return self.loader.get_group_options(group, kind, self.config_name, [*self.more])

    def composed(self, arguments: Iterable[Argument]) -> Any:
        """The config of these arguments, in plain Python, with its references unresolved."""
        return OmegaConf.to_container(
            compose(self.config_name, [*self.more, *(one.for_hydra for one in arguments)])
        )


def mistake_in(config_name: str, settings: Mapping[str, str], more: Sequence[str] = ()) -> str:
    """What is wrong with the settings of a command, before it runs; empty if nothing is."""
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            compose(config_name, [*more, *settings.values()])
    except Exception as error:
        return mistake(error, config_name, settings, more)
    return ""


def mistake(
    error: Exception, config_name: str, settings: Mapping[str, str], more: Sequence[str] = ()
) -> str:
    """What is wrong with the settings of a command, after its config gave `error`; empty if nothing is.

    `settings` maps each typed setting to the form that Hydra got; `more` are settings that nobody typed.
    """
    arguments = []
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for typed, text in settings.items():
            try:
                arguments.append(Argument(typed, OverridesParser.create().parse_override(text)))
            except HydraException:
                return _unreadable(typed)
        tree = Tree(GlobalHydra.instance().config_loader(), config_name, more)
        if refused := next(filter(None, map(_nothing_to_set, arguments)), ""):
            return refused
        groups = [one for one in arguments if tree.options(one.key)]
        others = [one for one in arguments if one not in groups]
        try:
            return (
                next(filter(None, (_wrong_option(tree, one) for one in groups)), "")
                or _wrong_key(tree, groups, others)
                or next(filter(None, (_wrong_value(tree, one) for one in others)), "")
                or next((_sweep(one) for one in arguments if one.is_a_sweep_in(error)), "")
                or _without_advice(error, arguments)
            )
        except HydraException:  # a file of the tree itself is wrong, or a group at a place where none is
            return _without_advice(error, arguments)


def _unreadable(text: str) -> str:
    key, sign, value = text.partition("=")
    if not sign:
        return _unnamed(text)
    return f"{text}: this cannot be read. Put the value into quotes of its own: {key}='\"{value}\"'"


def _nothing_to_set(argument: Argument) -> str:
    """The sentence for a value without a name, and for `~name` where the name is needed."""
    if not argument.key:
        return _unnamed(argument.typed)
    if argument.override.is_delete() and argument.key in NEEDED:
        return f"{argument.typed}: {argument.key} cannot be left out."
    return ""


def _unnamed(text: str) -> str:
    return f"{text}: a setting is written name=value."


def _wrong_option(tree: Tree, argument: Argument) -> str:
    """The sentence for an option that its group does not have."""
    override, options = argument.override, tree.options(argument.key)
    if override.is_delete():
        return ""
    if override.is_sweep_override():
        values = [text.strip("'\"") for text in override.sweep_string_iterator()]
    else:
        value = override.value()
        values = value if isinstance(value, list) else [value]
    for one in values:
        if one in (None, ""):
            return f"{argument.typed}: one of these is needed: {', '.join(options)}."
        if str(one) not in options:
            return unknown(argument.typed, f"{argument.key} has no {one}", str(one), options)
    return ""


def _wrong_key(tree: Tree, groups: Iterable[Argument], settings: Iterable[Argument]) -> str:
    """The sentence for the first key that is not in the config of the chosen options."""
    config = tree.composed(one for one in groups if not one.override.is_sweep_override())
    for argument in settings:
        if (
            argument.override.is_add()
            or argument.override.is_force_add()
            or argument.key.startswith("hydra")
        ):
            continue
        node: Any = config
        before: list[str] = []
        for part in argument.key.split("."):
            if not isinstance(node, dict):  # inside a list or a reference
                break
            if part not in node:
                known = sorted(str(key) for key in node if not str(key).startswith("_"))
                if not before:
                    known = sorted({*known, *tree.inside("", ObjectType.GROUP)} - {"hydra", "recipe"})
                wrong = f"{'.'.join(before)} has no {part}" if before else f"there is no {part}"
                if others := _options_with([*before, part]):
                    return f"{argument.typed}: {wrong} unless you choose {' or '.join(others)}."
                return unknown(argument.typed, wrong, part, known)
            node = node[part]
            before.append(part)
    return ""


def _options_with(parts: Sequence[str]) -> list[str]:
    """Our options that have a key, of the group that the key begins with."""
    group, key = parts[0], ".".join(parts)
    names = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    options = [Option.of(group, name, [config_dir()]) for name in names]
    return [str(one) for one in options if any(f"{has}.".startswith(f"{key}.") for has in one.values)]


def _wrong_value(tree: Tree, argument: Argument) -> str:
    """The sentence for a value of a type that the schema does not take."""
    try:
        tree.composed([argument])
    except HydraException as error:
        reason = str(error.__cause__ or "").partition("\n")[0]
        kind = re.search(r"could not be converted to (\w+)|is not a valid (\w+)", reason)
        if kind:
            name = kind[1] or kind[2]
            return f"{argument.typed}: {WANTED.get(name, name)} is wanted here."
        one_of = re.search(r"expected one of \[(.*)\]", reason)
        if one_of:
            return f"{argument.typed}: one of these is wanted here: {one_of[1]}."
    return ""


def _sweep(argument: Argument) -> str:
    return (
        f"{argument.typed}: several values are a sweep, and a sweep is asked for by -m: -m {argument.typed}"
    )


def _without_advice(error: Exception, arguments: Iterable[Argument] = ()) -> str:
    """Hydra's own message, without its search path and its advice to append; empty for other errors."""
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return ""
    text = str(error).partition("\nConfig search path:")[0]
    if added := re.match(r"Could not append to config\. An item is already at '(.*)'\.", text):
        return f"{added[1]} is there already: type it without +."
    if nowhere := re.match(r"Could not override '(.*)'\.", text):
        typed = next((one.typed for one in arguments if one.typed.startswith(nowhere[1])), nowhere[1])
        group = nowhere[1].partition("@")[0]
        return f"{typed}: there is no {nowhere[1]}. Did you mean {group}?"
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("To append"))
