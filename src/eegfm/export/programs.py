"""A portable model as a program that does not need this package: torch.export and ONNX.

Both take any number of windows in microvolts, [batch, channel, time], and give the output of the module. The places of
channels are those of the training. Both are compared with the module before they count.
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
from eegfm.support.process import level

NEAR = 1e-3  # the largest allowed difference from the module, as a fraction of its largest output
INSTALL = "pip install 'eegfm[onnx]'"
BATCHES = (1, 3)  # batch sizes of the comparison; the traced example has another


class _Program(nn.Module):
    """The module with one input."""

    def __init__(self, model: Portable) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def to_torch(program: ExportedProgram, model: Portable, path: Path) -> float:
    """Write `exported(model)` for torch alone; returns the largest difference, as a fraction of the largest output.

    `torch.export.load(path).module()` reads it. Raises EegfmError if its outputs differ from the module's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path)
    again = torch.export.load(path).module()
    return _compared(model, lambda x: again(x), path)


def to_onnx(program: ExportedProgram, model: Portable, path: Path) -> float | None:
    """Write `exported(model)` as ONNX; returns the largest difference, as a fraction of the largest output.

    Returns None if onnxruntime, which computes the outputs, is not installed. The input is named "windows", the output
    "output".

    Raises:
        EegfmError: packages are missing, or ONNX lacks an operator that the model needs.
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
    except Exception as error:  # the passes of the exporter raise many kinds of errors
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
        EegfmError: the model computes outside torch, or torch.export cannot follow it.
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
    except Exception as error:  # torch.export raises many kinds of errors
        raise EegfmError(f"torch.export cannot follow this model: {_reason(error)}") from error


def example(model: Portable, n: int) -> Tensor:
    """Noise with the amplitude of EEG in microvolts, as windows, or as vectors if the model takes vectors."""
    return 20 * torch.randn(n, *model.spec.shape, generator=torch.Generator().manual_seed(n))


def _compared(model: Portable, run: Any, path: Path) -> float:
    """The largest difference of `run` from the module; deletes the file and raises EegfmError if it is too large."""
    worst = 0.0
    model = copy.deepcopy(model).cpu().eval()
    for n in BATCHES:
        x = example(model, n)
        with torch.no_grad():
            expected, output = model(x), run(x)
        worst = max(worst, float((output - expected).abs().max() / expected.abs().max()))
    if not worst <= NEAR:
        path.unlink()
        raise EegfmError(
            f"The outputs of {path.name} differ from the module's by {worst:.2g} of the largest output, so it "
            "was deleted."
        )
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' remarks, which are about their passes and not about the model."""
    with (
        level(logging.ERROR, "torch.onnx"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _reason(error: BaseException) -> str:
    """The innermost cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
