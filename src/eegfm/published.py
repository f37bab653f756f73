"""Published test scores, beside which a report sets ours: `published.yaml`, read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reference:
    """A published test score: `std` is None where none was found; `settings` are those the number rests on."""

    model: str
    title: str
    data: str
    metric: str
    mean: float
    std: float | None
    source: str
    protocol: str
    settings: Mapping[str, Any]
    headline: bool  # of a main table, not of a study that varies one setting

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.std is None else f"{self.mean:.4f} ± {self.std:.4f}"


@cache
def published() -> tuple[Reference, ...]:
    """Every cell of `published.yaml`, in its order."""
    from omegaconf import OmegaConf

    table: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml")))
    found = []
    for block in table["blocks"]:
        for row, cells in block["rows"].items():
            data, metric = row.split()
            for column, cell in zip(block["columns"], str(cells).split(), strict=True):
                key = block.get("model", column)
                model = table["models"][key]
                settings, title = flat(model.get("settings", {})), model["title"]
                if "vary" in block:
                    settings, title = (
                        {**settings, block["vary"]: column},
                        f"{title}, {block['vary']}={column}",
                    )
                centre, _, std = cell.partition("±")
                found.append(
                    Reference(
                        model=model.get("model", key),
                        title=title,
                        data=data,
                        metric=metric,
                        mean=float(centre),
                        std=float(std) if std else None,
                        source=block["source"],
                        protocol=table["protocol"],
                        settings=settings,
                        headline="vary" not in block,
                    )
                )
    return tuple(found)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A nested mapping as {"trainer.max_epochs": 50, ...}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else str(key)
        found.update(flat(value, name) if isinstance(value, Mapping) else {name: value})
    return found
