"""A bound on how large a model may be that a config describes, before its memory is taken and its layers are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from torch.nn.modules import module as torch_modules

from eegfm.contracts import EegfmError

TENSORS = 20_000  # of a model; a thousand layers have ten thousand
BYTES = 16  # of a number that is trained: itself, its gradient and two moments of AdamW
TOO_LARGE = (
    "alloc",
    "overflow",
    "negative dimension",
    "too large",
    "too big",
    "maximum",
)  # what torch says of it


@contextmanager
def bounded(who: str, numbers: int | None = None) -> Iterator[None]:
    """Refuse modules made in the block with more numbers than this; None: than this machine has memory to train.

    Raises:
        EegfmError: they have, or more tensors than any model; `who` is the config that describes them.
    """
    most = psutil.virtual_memory().available // BYTES if numbers is None else numbers
    left = {"numbers": most, "tensors": TENSORS}
    whose = "as this machine has memory to train" if numbers is None else "as its file of weights may hold"

    def count(_module: Any, _name: str, tensor: Any) -> None:
        left["numbers"] -= 0 if tensor is None else tensor.numel()
        left["tensors"] -= 1
        if min(left.values()) < 0:
            raise EegfmError(
                f"{who} describes a model of more numbers than {most:,}, {whose}, or of more tensors than {TENSORS:,}. "
                "Is a width or a depth mistyped?"
            )

    hooks = (
        torch_modules.register_module_parameter_registration_hook(count),
        torch_modules.register_module_buffer_registration_hook(count),
    )
    try:
        yield
    except (MemoryError, OverflowError, RecursionError, RuntimeError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else ""
        of_size = not isinstance(error, RuntimeError) or isinstance(error, RecursionError)
        if of_size or any(word in said.lower() for word in TOO_LARGE):
            raise EegfmError(
                f"{who} describes a model that cannot be made ({type(error).__name__}: {said}). Is a width or a depth "
                "mistyped?"
            ) from None
        raise
    finally:
        for hook in hooks:
            hook.remove()
