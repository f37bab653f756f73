"""A whole split on the device: a batch is an index into it, so that an epoch's loading costs nothing.

The eight benchmarks take 0.1 to 7 GB as float32 windows, less behind most encoders; one accelerator holds any of them.
"""

from collections.abc import Iterator

import torch

from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.loaders import SplitDataset, Windows

CHUNK = 1024  # windows read at a time on the way to the device


class ResidentLoader:
    """The same batches as a `Loader` of the data set has in this order, already on the device."""

    batch_sampler = None  # Lightning (2.6) reads it of whatever has a sampler

    def __init__(self, data: SplitDataset, order: Windows, device: torch.device) -> None:
        self.sampler, self.device = order, device  # Lightning tells the epoch to the first, by this name
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
        for places in self.sampler:
            rows = torch.tensor(places, device=self.device)
            yield EEGBatch(
                x=self.x[rows].float(),
                coords=self.coords,
                label=self.label[rows],
                subject=self.subject[rows],
                key=[self.keys[place] for place in places],
            )

    def _check_room(self, wanted: int) -> None:
        if self.device.type != "cuda":
            return
        free = torch.cuda.mem_get_info(self.device)[0]
        if wanted > free:
            raise EegfmError(
                f"data.device_cache=true: the split takes {wanted / 1e9:.1f} GB, {self.device} has "
                f"{free / 1e9:.1f} GB free. Leave it out: data.device_cache=false"
            )
