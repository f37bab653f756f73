"""Published test scores, beside which a report sets ours: `published.yaml`, read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reference:
    """A published test score: `std` is None where none was found; `settings` are those the number rests on.

    `table` is what experiments repeat it by, `variant` what tells it from its neighbours in a study that varies one
    thing ("model.width=64", "S1"), empty in a main table.
    """

    model: str
    title: str
    data: str
    metric: str
    mean: float
    std: float | None
    source: str
    protocol: str
    settings: Mapping[str, Any]
    table: str
    variant: str

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.std is None else f"{self.mean:.4f} ± {self.std:.4f}"

    @property
    def headline(self) -> bool:
        return not self.variant


@cache
def published() -> tuple[Reference, ...]:
    """Every cell of `published.yaml`, in its order."""
    found = []
    for block in _file()["blocks"]:
        for row, cells in block["rows"].items():
            data, metric = row.split()
            for column, cell in zip(block["columns"], str(cells).split(), strict=True):
                key = block.get("model", column)
                model = _file()["models"][key]
                settings, variant = flat(model.get("settings", {})), ""
                if "vary" in block:
                    settings, variant = {**settings, block["vary"]: column}, f"{block['vary']}={column}"
                if "variants" in block:
                    settings, variant = (
                        {**settings, **flat(block["variants"][column])},
                        f"ablation={column}",
                    )
                centre, _, std = cell.partition("±")
                found.append(
                    Reference(
                        model=model.get("model", key),
                        title=f"{model['title']}, {variant}" if variant else model["title"],
                        data=data,
                        metric=metric,
                        mean=float(centre),
                        std=float(std) if std else None,
                        source=block["source"],
                        protocol=block.get("protocol", next(iter(protocols()))),
                        settings=settings,
                        table=block["table"],
                        variant=variant,
                    )
                )
    return tuple(found)


def protocols() -> dict[str, str]:
    """What every protocol of published scores is, by its name; the first is that of our benchmarks."""
    return _file()["protocols"]


@cache
def _file() -> dict[str, Any]:
    from omegaconf import OmegaConf

    table: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml")))
    return table


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A nested mapping as {"trainer.max_epochs": 50, ...}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else str(key)
        found.update(flat(value, name) if isinstance(value, Mapping) else {name: value})
    return found
