"""A portable model as a program that needs nothing of this package: torch.export, and ONNX.

Both take windows in microvolts, [batch, channel, time] with any number of them, and give what the module gives; places
of channels are those that the model was trained on. Both are held against the module before they count.
"""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from eegfm.contracts import EegfmError
from eegfm.export.model import Portable
from eegfm.process import level

NEAR = 1e-3  # how far an output may lie from the module's, of its largest value
INSTALL = "pip install 'eegfm[onnx]'"
BATCHES = (1, 3)  # sizes that outputs are compared at; the example has another


class _Program(nn.Module):
    """The module with one input."""

    def __init__(self, model: Portable) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def to_torch(program: ExportedProgram, model: Portable, path: Path) -> float:
    """Write `exported(model)` for torch alone; the largest difference from the module, of its largest output.

    `torch.export.load(path).module()` gives it back. Raises EegfmError where it gives something else than the module.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path)
    again = torch.export.load(path).module()
    return _compared(model, lambda x: again(x), path)


def to_onnx(program: ExportedProgram, model: Portable, path: Path) -> float | None:
    """Write `exported(model)` as ONNX; the largest difference from the module, of its largest output.

    None where onnxruntime, which says it, is not installed. The input is "windows", the output "output".

    Raises:
        EegfmError: packages are missing, or ONNX has no operator for a part of it.
    """
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EegfmError(f"--onnx needs onnx and onnxscript ({error}). Type: {INSTALL}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            torch.onnx.export(
                program, (), str(path), dynamo=True, verbose=False, external_data=False,
                input_names=["windows"], output_names=["output"],
            )  # fmt: skip
    except Exception as error:  # whatever its passes raise, at which operator
        path.unlink(missing_ok=True)
        raise EegfmError(f"ONNX cannot hold this model: {_reason(error)}") from error
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return _compared(model, lambda x: torch.from_numpy(session.run(None, {"windows": x.numpy()})[0]), path)


def exported(model: Portable) -> ExportedProgram:
    """The program of torch operators, for any number of windows.

    Raises:
        EegfmError: a model of something else than torch operators, or one that torch.export cannot follow.
    """
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    backbone: Any = model.backbone
    if hasattr(backbone, "chunk") and hasattr(backbone, "merge"):  # low-rank adapters: see StampLora
        backbone.chunk = None
        backbone.merge()
    x = example(model, 2)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(
                _Program(model), (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
            )
    except EegfmError:
        raise
    except Exception as error:  # of many kinds, by what it met
        raise EegfmError(f"torch.export cannot follow this model: {_reason(error)}") from error


def example(model: Portable, n: int) -> Tensor:
    """Windows of noise of the size of EEG, in microvolts; where a model takes vectors, numbers of that size."""
    return 20 * torch.randn(n, *model.spec.shape, generator=torch.Generator().manual_seed(n))


def _compared(model: Portable, run: Any, path: Path) -> float:
    worst = 0.0
    model = copy.deepcopy(model).cpu().eval()
    for n in BATCHES:
        x = example(model, n)
        with torch.no_grad():
            wanted, found = model(x), run(x)
        worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max()))
    if not worst <= NEAR:
        path.unlink()
        raise EegfmError(
            f"{path.name} gave outputs that differ from the module's by {worst:.2g} of the largest: it was deleted."
        )
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' own remarks, which are of their passes and not of the model."""
    with (
        level(logging.ERROR, "torch.onnx"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _reason(error: BaseException) -> str:
    """The innermost reason, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
