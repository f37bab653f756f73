"""Make objects from config nodes, after checking their values against the constructors."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from eegfm.config.identity import CORPORA_SEEN
from eegfm.config.signatures import arguments
from eegfm.contracts import EegfmError
from eegfm.support.words import unknown

LIMITS = {  # for constructors of other packages: a kind, the least value, and other accepted values
    "trainer.max_epochs": (int, 1, (-1, None)),
    "trainer.max_steps": (int, 1, (-1,)),
    "trainer.accumulate_grad_batches": (int, 1, ()),
    "trainer.gradient_clip_val": (float, 0, (None,)),
    "task.optimizer.lr": (float, 0, ()),
    "task.optimizer.weight_decay": (float, 0, ()),
    "task.schedule.max_lr": (float, 0, ()),
    "task.head_lr": (float, 0, (None,)),
    "data.batch_size": (int, 1, ()),
    "save_steps": (int, 1, (None,)),
    "callbacks.early_stopping.patience": (int, 0, ()),
    "callbacks.early_stopping.min_delta": (float, 0, ()),
}
NEEDED = (
    "paths",
    "data",
    "encoder",
    "split",
    "task",
    "model",
    "trainer",
    "seed",
)  # no training without these


def refuse_wrong_values(config: DictConfig) -> None:
    """Raise EegfmError for a value that no run can have, without loading its user, which takes seconds."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        verb, typed = "is" if len(missing) == 1 else "are", " ".join(f"{key}=..." for key in missing)
        raise EegfmError(f"{' and '.join(missing)} {verb} missing. Type {typed}")
    _refuse_unknown(config)
    for path, node in _made(config):
        check_types(node, path)
    for key, (kind, least, beside) in LIMITS.items():
        for path in (key, f"pretrain.{key}"):
            value = OmegaConf.select(config, path, default=least)
            if value in beside or (_is(value, kind) and value >= least):
                continue
            wanted = [f"{_say(kind)} of {least} or more", *map(_plainly, beside)]
            said = " or ".join([", ".join(wanted[:-1]), wanted[-1]][len(wanted) == 1 :])
            raise EegfmError(f"{path}={_plainly(value)}: {said} is wanted here.")


def _refuse_unknown(config: DictConfig) -> None:
    """Refuse a top-level key that nothing reads (`+modle=stamp`), and a training without one of its parts (`~task`)."""
    schema = OmegaConf.get_type(config)
    if not is_dataclass(schema):  # a command without a schema
        return
    known = [field.name for field in fields(schema)]
    for key in map(str, config):
        if key not in known:
            raise EegfmError(unknown(key, f"there is no {key}", key, known))
    for key in NEEDED:
        if key not in config or config[key] == {}:
            raise EegfmError(f"{key} cannot be left out.")


def _made(node: DictConfig, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """The nodes that describe objects, with their paths."""
    for key in node:
        if not OmegaConf.is_dict(node[key]):
            continue
        inner = f"{path}.{key}".lstrip(".")
        if "_target_" in node[key]:
            yield inner, node[key]
        else:
            yield from _made(node[key], inner)


def _plainly(value: Any) -> str:
    return "null" if value is None else str(value)


def make(node: DictConfig, path: str) -> Any:
    """Instantiate a config node, after checking its values against the constructor's types."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    node = _undeclared(node)
    if "_target_" in node:
        check_types(node, path)
    try:
        return instantiate(node, _convert_="object")
    except InstantiationException as error:
        if isinstance(error.__cause__, EegfmError):
            raise error.__cause__ from None
        raise


def check_types(node: DictConfig, path: str) -> None:
    """Refuse values of a type that the target's constructor does not take, before anything is made.

    Only plain types are checked (int, float, bool, str, Literal, None, and unions of them): the constructor
    checks the rest.
    """
    known = arguments(node["_target_"])
    if known is None:
        return
    values = OmegaConf.to_container(node, resolve=True)
    for inner, one in _made(node, path):
        if one._target_.startswith("eegfm."):
            check_types(one, inner)
    for key, value in values.items():  # type: ignore[union-attr]
        if str(key).startswith("_") or key == CORPORA_SEEN:  # a declaration is no argument
            continue
        if key not in known:
            raise EegfmError(
                f"{path}.{key}: {node['_target_']} has no such argument. It has: {', '.join(known)}."
            )
        if not _fits(value, known[key]):
            raise EegfmError(f"{path}.{key}={_plainly(value)}: {_say(known[key])} is wanted here.")


def _undeclared(node: DictConfig) -> DictConfig:
    """The same node, at its place in the config, without the declarations in it and in the nodes below."""
    copy = deepcopy(node)
    OmegaConf.set_struct(copy, False)
    nodes: list[Any] = [copy]
    while nodes:
        one = nodes.pop()
        one.pop(CORPORA_SEEN, None)
        own = [
            key
            for key in one
            if not (OmegaConf.is_interpolation(one, key) or OmegaConf.is_missing(one, key))
        ]
        nodes += [one[key] for key in own if OmegaConf.is_dict(one[key])]
    return copy


PLAIN = (int, float, bool, str, type(None))


def _fits(value: Any, hint: Any) -> bool:
    options = (
        get_args(hint) if get_origin(hint) is not None and get_origin(hint) is not Literal else (hint,)
    )
    if isinstance(value, dict | list) or not all(o in PLAIN or get_origin(o) is Literal for o in options):
        return True
    return any(_is(value, option) for option in options)


def _is(value: Any, option: Any) -> bool:
    if get_origin(option) is Literal:
        return value in get_args(option)
    if isinstance(value, bool):
        return option is bool
    return isinstance(value, (int, float)) if option is float else isinstance(value, option)


def _say(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        type(None): "null",
    }
    if get_origin(hint) is Literal:
        return " or ".join(repr(option) for option in get_args(hint))
    if get_args(hint):
        return " or ".join(_say(option) for option in get_args(hint))
    return names.get(hint, str(hint))
