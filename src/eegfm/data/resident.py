"""Keep a whole split on the device, so that no batch has to be read or copied (data.device_cache=true).

The eight benchmarks take 0.1 to 7 GB as float32 windows, and less as vectors of most encoders; one accelerator holds
any of them.
"""

from collections.abc import Iterator

import torch

from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.loaders import SplitDataset, Windows

CHUNK = 1024  # windows read at a time on the way to the device


class ResidentLoader:
    """The same batches in the same order as a `Loader`, but already on the device."""

    batch_sampler = None  # Lightning (2.6) reads it if there is a sampler

    def __init__(self, data: SplitDataset, order: Windows, device: torch.device) -> None:
        self.sampler, self.device = order, device  # Lightning sets the epoch of an attribute named sampler
        store, rows = data.store, data.rows
        dtype = torch.from_numpy(store.read(rows[:1])).dtype
        self._check_room(len(rows) * torch.Size(store.shape).numel() * dtype.itemsize)
        self.x = torch.empty((len(rows), *store.shape), dtype=dtype, device=device)
        for start in range(0, len(rows), CHUNK):
            part = torch.from_numpy(store.read(rows[start : start + CHUNK]))
            self.x[start : start + len(part)] = part.to(device)
        self.coords = data.coords.to(device)
        self.label = torch.from_numpy(store.index.label[rows]).to(device)
        self.subject = torch.from_numpy(data.subject[rows]).to(device)
        self.keys = [store.index.key(row) for row in rows.tolist()]

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[EEGBatch]:
        for positions in self.sampler:
            rows = torch.tensor(positions, device=self.device)
            yield EEGBatch(
                x=self.x[rows].float(),
                coords=self.coords,
                label=self.label[rows],
                subject=self.subject[rows],
                key=[self.keys[position] for position in positions],
            )

    def _check_room(self, wanted: int) -> None:
        if self.device.type != "cuda":
            return
        free = torch.cuda.mem_get_info(self.device)[0]
        if wanted > free:
            raise EegfmError(
                f"data.device_cache=true: the split takes {wanted / 1e9:.1f} GB, and {self.device} has "
                f"{free / 1e9:.1f} GB free. Type data.device_cache=false"
            )
