"""What a search is to do, out of its config and overrides."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from eegfm.config.identity import chosen, identity_hash, plain, without_hydra
from eegfm.contracts import EegfmError
from eegfm.search.space import as_text, distribution_of, first_of, n_points, refuse_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

BY_LOSS = (
    "eegfm.tasks.reconstruct.Reconstruct",
    "eegfm.tasks.forecast.Forecast",
)  # by name: imports of seconds


@dataclass(frozen=True)
class Plan:
    """One study: what it tries, what its trials share, where it lies. `base` is the config without the space."""

    config: DictConfig
    loader: ConfigLoader
    base: DictConfig
    fixed: dict[str, str]
    space: dict[str, "BaseDistribution"]
    said: dict[str, str]
    folder: Path
    maximize: bool

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def storage(self) -> str:
        asked = str(self.base.search.storage)
        if asked in ("journal", "sqlite"):
            path = self.folder.absolute() / f"study.{asked}"
            return f"sqlite:///{path}" if asked == "sqlite" else str(path)
        return asked

    @property
    def size(self) -> float:
        """How many settings the space holds."""
        return math.prod(n_points(one) for one in self.space.values())


def plan_of(config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> Plan:
    """What a search is to do, from its overrides. A space that cannot be composed is said here, before anything runs.

    Raises:
        EegfmError: no space, one that would pick luck or ease instead of a good setting, or wrong numbers.
    """
    fixed: dict[str, str] = {}
    space: dict[str, BaseDistribution] = {}
    said: dict[str, str] = {}
    for one in OverridesParser.create(config_loader=loader).parse_overrides([*arguments]):
        key = one.get_key_element()
        for known in (fixed, space, said):  # the last word on a key is the one that holds
            known.pop(key, None)
        if one.is_sweep_override():
            space[key] = distribution_of(one)
            said[key] = (one.input_line or "").partition("=")[2]
        else:
            fixed[key] = one.get_value_element_as_str()
    if not space:
        raise EegfmError(
            "search=optuna, and nothing to search over. Give at least one value a space: "
            "'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))', 'model.depth=choice(1,2,4)'"
        )
    base = loader.load_sweep_config(config, as_overrides(fixed))
    settings = base.search
    for key in ("n_trials", "n_jobs"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            raise EegfmError(f"search.{key}={settings[key]}: a whole number above 0 is wanted.")
    maximize = _direction(base)
    for key in space:
        refuse_key(key, of_loss=not maximize)
    first = {key: as_text(first_of(one)) for key, one in space.items()}
    loader.load_sweep_config(config, as_overrides({**fixed, **first}))

    choices = base.hydra.runtime.choices
    what = json.dumps([identity_hash(plain(without_hydra(base))), said, maximize], sort_keys=True)
    parts = [*(chosen(choices, group) for group in ("model", "encoder", "data")), f"s{base.seed}"]
    name = "-".join([*parts, sha256(what.encode()).hexdigest()[:8]])
    folder = Path(base.paths.runs) / (choices.get("experiment") or "single") / "searches" / name
    return Plan(config, loader, base, fixed, space, said, folder, maximize)


def as_overrides(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value or not key.startswith("~") else key for key, value in values.items()]


def _direction(base: DictConfig) -> bool:
    """Whether more is better. The task of each run checks it against its own metric (`eegfm.search.prune`)."""
    asked = base.search.direction
    if asked is None:
        return base.task._target_ not in BY_LOSS
    if asked not in ("maximize", "minimize"):
        raise EegfmError(f"search.direction={asked}: maximize, minimize or null is wanted.")
    return asked == "maximize"
