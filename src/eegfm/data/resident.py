"""A whole split on the device: a batch is an index into it, so that an epoch's loading costs nothing.

The eight benchmarks take 0.1 to 7 GB as float32 windows, less behind most encoders; one accelerator holds any of them.
"""

from collections.abc import Iterator

import torch

from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.loaders import EpochShuffle, SplitDataset

CHUNK = 1024  # windows read at a time on the way to the device


class ResidentLoader:
    """The same batches as a `DataLoader` over the data set, in the same order, already on the device.

    `sampler` gives the order of an epoch (Lightning tells it the epoch), None the stored one.
    """

    batch_sampler = None  # Lightning (2.6) reads it of whatever has a sampler

    def __init__(
        self, data: "SplitDataset", batch_size: int, sampler: "EpochShuffle | None", device: torch.device
    ) -> None:
        self.batch_size, self.sampler, self.device = batch_size, sampler, device
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
        return -(-len(self.keys) // self.batch_size)

    def __iter__(self) -> Iterator[EEGBatch]:
        order = list(range(len(self.keys))) if self.sampler is None else list(self.sampler)
        places = torch.tensor(order, device=self.device)
        for start in range(0, len(order), self.batch_size):
            rows = places[start : start + self.batch_size]
            yield EEGBatch(
                x=self.x[rows].float(),
                coords=self.coords,
                label=self.label[rows],
                subject=self.subject[rows],
                key=[self.keys[row] for row in order[start : start + self.batch_size]],
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
