"""Examine which models and encoders can be made here, and the weights that they need."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eegfm.commands.examining.screen import Row, first_line, is_findable
from eegfm.config.make import make
from eegfm.config.schema import config_dir, configured_paths
from eegfm.contracts import Montage, SampleSpec
from eegfm.encoders.base import published_file
from eegfm.nn.mamba2 import Mamba2
from eegfm.support.process import level


def models(folder: Path | None = None) -> Iterator[Row]:
    """Rows about each model with Mamba-2 layers: which scan they use on the device of trainer=auto, and why."""
    import torch

    on_gpu, on_mac = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = "cuda" if on_gpu else "mps" if on_mac else "cpu"
    for name, model in _models(folder):
        if isinstance(model, Exception):
            yield Row(
                "models",
                name,
                f"cannot be made here ({first_line(model)})",
                "warning",
                f"eegfm train model={name}",
            )
            continue
        layers = [m for m in getattr(model, "modules", list)() if isinstance(m, Mamba2)]
        paths, reasons = set(), set()
        for layer in layers:
            u = torch.empty(1, 1, layer.d_model, device=device)
            try:
                with level(logging.ERROR, "eegfm.nn.mamba2"):  # path() would warn of what the row tells
                    paths.add(layer.path(u))
            except ValueError as error:
                paths.add(f"refused: {error}")
            reasons.add(layer.not_fused(u) if layer.scan in ("auto", "fused") else f"scan={layer.scan}")
        why = "; ".join(sorted(filter(None, reasons)))
        if layers:
            path = " and ".join(sorted(paths))
            found = f"{path} scan on {device}{f': {why}' if why else ''}"
            facts = {"device": device, "paths": sorted(paths), "why": why or None, "layers": len(layers)}
            yield Row("models", name, found, facts=facts)


def _models(folder: Path | None) -> Iterator[tuple[str, Any]]:
    """Every model of the config tree with Mamba-2 layers, or the error that making it raised."""
    import numpy as np
    from omegaconf import OmegaConf

    montage = Montage(tuple(f"E{i}" for i in range(16)), np.zeros((16, 3)))
    for path in sorted((folder or config_dir() / "model").glob("*.yaml")):
        config: Any = OmegaConf.load(path)
        if (
            "scan" not in config.model
        ):  # a model without Mamba-2 has no scan, and its import may take seconds
            continue
        chosen: dict[str, str] = {}
        for node in config.get("defaults", []):
            chosen |= {} if isinstance(node, str) else dict(node)
        encoder = chosen.get("override /encoder", "raw")
        shape = (16, 800) if encoder == "raw" else (16, 4, 64)
        values = OmegaConf.load(config_dir() / "encoder" / f"{encoder}.yaml")
        root = OmegaConf.create({"paths": configured_paths(), "encoder": values, "model": config.model})
        try:
            yield path.stem, make(root.model, "model")(SampleSpec(montage, shape, 200.0, ("a", "b")))
        except Exception as error:  # one model that cannot be made does not hide the others
            yield path.stem, error


def encoders() -> Iterator[Row]:
    """Rows about every encoder=<name>: its package, its weights, and the folder to have them in."""
    from hydra.utils import get_object
    from omegaconf import OmegaConf

    for path in sorted((config_dir() / "encoder").glob("*.yaml")):
        node: Any = OmegaConf.create({"paths": configured_paths(), "encoder": OmegaConf.load(path)}).encoder
        module = sys.modules[getattr(get_object(node._target_), "__module__", "eegfm")]
        package, folder = getattr(module, "PACKAGE", None), node.get("weights")
        if package is None and folder is None:
            yield Row("encoders", path.stem, "needs nothing", facts={"package": None, "weights": None})
            continue
        has_package = package is None or is_findable(package)
        file = _weights(node) if folder else None
        has_weights = not folder or file is not None
        found = [f"package {package} is {'installed' if has_package else 'missing'}"] * (
            package is not None
        )
        found += [f"weights {f'in {file.parent}' if file else f'not in {folder}'}"] * (folder is not None)
        remedies = [] if has_package else [module.INSTALL]
        if not has_weights:
            remedies.append(f"eegfm weights fetch encoder={path.stem}")
        facts = {
            "package": package,
            "has_package": has_package,
            "weights": folder,
            "has_weights": has_weights,
        }
        yield Row(
            "encoders",
            path.stem,
            ", ".join(found),
            "absent" if remedies else "ok",
            "\n".join(remedies),
            facts,
        )


def _weights(node: Any) -> Path | None:
    """The file of an encoder's weights, None if it is not here."""
    from hydra.utils import get_object
    from omegaconf import OmegaConf

    options: Any = OmegaConf.to_container(node, resolve=True)
    target, folder = get_object(options.pop("_target_")), Path(options["weights"])
    options.pop("seen", None)  # a declaration for the audit, not an argument
    encoder = target(**{**options, "weights": "random"})  # builds nothing yet, but knows its repository
    return published_file(folder, encoder.repository, encoder.file, encoder.revision)
