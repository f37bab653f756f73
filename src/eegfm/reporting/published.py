"""Read `published.yaml`: the published test scores that a report shows beside ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


@dataclass(frozen=True)
class Reference:
    """A published test score: `std` is None if none was found; `settings` are the settings behind the number.

    `table` is the name by which an experiment says that it repeats the score. `variant` says what a study changed
    ("model.width=64", "ablation=S1"); it is empty in a main table. `digits` are the decimals that the number has: those
    that were printed, or that a figure lets one read.
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
    digits: int

    def __str__(self) -> str:
        n = self.digits
        return f"{self.mean:.{n}f}" if self.std is None else f"{self.mean:.{n}f} ± {self.std:.{n}f}"

    @property
    def headline(self) -> bool:
        return not self.variant


@cache
def published() -> tuple[Reference, ...]:
    """Every cell of `published.yaml`, in its order."""
    scores = []
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
                scores.append(
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
                        digits=block.get("digits", len(centre.partition(".")[2])),
                    )
                )
    return tuple(scores)


def protocols() -> dict[str, str]:
    """A sentence about every protocol of the published scores, by name; the first is that of our benchmarks."""
    return _file()["protocols"]


@cache
def _file() -> dict[str, Any]:
    table: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml")))
    return table


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A nested mapping as {"trainer.max_epochs": 50, ...}."""
    values_by_path: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else str(key)
        values_by_path.update(flat(value, name) if isinstance(value, Mapping) else {name: value})
    return values_by_path
