"""The sweeper behind `search=optuna`: how Hydra comes to `eegfm.search.loop`.

It is not in `eegfm`, because Hydra takes sweepers from the namespace package `hydra_plugins` alone: it finds them
there by itself, by walking that package, and refuses a class of any other. There is no `hydra_plugins/__init__.py`,
here or in the wheel, since other plugins (hydra-submitit-launcher) live in the same namespace. Every Hydra program of
the environment imports this module at its start, so it imports nothing but Hydra, and says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Dict, List, Optional  # noqa: UP035  what OmegaConf reads types with

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SearchSweeperConf:
    """`hydra/sweeper=eegfm_search`. `params` are overrides by key, as those of Hydra's own sweeper."""

    _target_: str = "hydra_plugins.eegfm_search.SearchSweeper"
    params: Optional[Dict[str, str]] = None  # noqa: UP006, UP045


ConfigStore.instance().store(
    group="hydra/sweeper", name="eegfm_search", node=SearchSweeperConf, provider="eegfm"
)


class SearchSweeper(Sweeper):
    """Hands a search on to `eegfm.search.loop`, with the launcher that its runs are to be started by."""

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context  # what Hydra's other sweepers call them
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: List[str]) -> Any:  # noqa: UP006
        from hydra.errors import CompactHydraException

        from eegfm.contracts import EegfmError
        from eegfm.search.loop import search

        assert self.config is not None and self.hydra_context is not None
        overrides = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        try:
            return search(self.config, self.hydra_context.config_loader, self.launcher, overrides)
        except EegfmError as error:  # every program of Hydra's prints this one as a sentence
            raise CompactHydraException(str(error)) from None
