"""The nouns that both towers speak: what an EEG sample is, and what a backbone and an encoder owe to it.

Nothing here opens a file or knows a model. Units everywhere: microvolts, seconds, hertz, metres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

# torch takes two seconds to load, and the processes that prepare recordings never need it
if TYPE_CHECKING:
    from torch import Tensor


# the advice at the end of every message about a faulty recording
FETCH_AGAIN = "Fetch the file again, or leave the recording out with data.allow_partial=true."


class EegfmError(ValueError):
    """Something a person can put right. The message says what was found, what was wanted, what to type next."""


@dataclass(frozen=True, eq=False)
class Montage:
    """Names and places of the rows of a signal, in row order.

    `coords` are metres in MNE's head frame (+x right, +y nose, +z up); NaN for a row that is not a place on the
    scalp (an ear reference, say). A bipolar row, anode - cathode, lies half way between its electrodes, under the
    skin's surface; `ends` then keeps the places of both, of every row: of a row with one electrode, twice its own.
    None where no row is bipolar.
    """

    names: tuple[str, ...]
    coords: Float[np.ndarray, "channel 3"]
    ends: Float[np.ndarray, "channel 2 3"] | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.coords.shape != (n, 3) or (self.ends is not None and self.ends.shape != (n, 2, 3)):
            ends = "" if self.ends is None else f" and ends of shape {self.ends.shape}"
            raise EegfmError(f"A montage of {n} names has coordinates of shape {self.coords.shape}{ends}.")


@dataclass(frozen=True)
class SampleSpec:
    """What every sample of a data set looks like, known before any file is opened.

    `shape` is (channel, time) in microvolts for raw windows and (channel, second, width) behind a frozen encoder.
    `sfreq` is the rate of the time axis in Hz, also where an encoder has replaced that axis. `classes` is empty for
    unlabelled data; two classes mean one logit (see `n_logits`). `corpora` is empty but for a mix (`eegfm.data.mix`):
    the names of what its batches come from. `shape` is then that of the shortest samples. `montages` is empty but for a
    mix whose corpora keep their own channels, and holds the montage of each, in the order of `corpora`: `montage` then
    has every place of theirs once, and its channels are those that `shape` counts.
    """

    montage: Montage
    shape: tuple[int, ...]
    sfreq: float
    classes: tuple[str, ...]
    corpora: tuple[str, ...] = ()
    montages: tuple[Montage, ...] = ()

    @property
    def n_channels(self) -> int:
        return self.shape[0]

    @property
    def montage_of(self) -> dict[str, Montage]:
        """The montage of the batches of each corpus (`EEGBatch.corpus`); one that is alone has the name ""."""
        names = self.corpora or ("",)
        return dict(zip(names, self.montages or (self.montage,) * len(names), strict=True))

    @property
    def n_logits(self) -> int:
        """One logit for two classes, else one a class."""
        return 1 if len(self.classes) == 2 else len(self.classes)


class EEGBatch(NamedTuple):
    """Samples of one montage, as a loader hands them to a task."""

    x: 'Float[Tensor, "batch channel *time"]'
    coords: 'Float[Tensor, "channel 3"]'
    label: 'Int[Tensor, " batch"]'
    subject: 'Int[Tensor, " batch"]'  # position in the store's sorted list of subject ids
    key: list[str]  # names the window: "Subject05_2/35.0s"
    corpus: str = ""  # of a mix (see `SampleSpec.corpora`): the one that all these samples are of
    part: float = 1.0  # how much the mean of these counts among several processes (`eegfm.data.processes`)


@runtime_checkable
class Embeds(Protocol):
    """A backbone: a sample in, a vector of `width` out."""

    width: int

    def embed(
        self, x: 'Float[Tensor, "batch channel *time"]', coords: 'Float[Tensor, "channel 3"]'
    ) -> 'Float[Tensor, "batch width"]': ...


@runtime_checkable
class Reconstructs(Protocol):
    """A backbone that gives a window back: the shape and the unit of what it was given, which may have been masked.

    That is microvolts, unless a task scales its input. Every module has some `forward`, so a task looks for one that
    is a backbone's own.
    """

    def forward(
        self, x: 'Float[Tensor, "batch channel time"]', coords: 'Float[Tensor, "channel 3"]'
    ) -> 'Float[Tensor, "batch channel time"]': ...


@runtime_checkable
class ShowsLayers(Protocol):
    """A backbone that can be looked into: layers by module path, and which axis of their output is time.

    `{"pool3": 2, "bottleneck": 1}`: pool3 gives [batch, width, time], bottleneck [batch, time, width].
    """

    time_axis: Mapping[str, int]


@runtime_checkable
class MapsPlaces(Protocol):
    """A backbone that first brings any montage to places of its own, `targets`, by a matrix of their coordinates.

    Row by row, the matrix says how much of every channel is seen at a target. Channels at NaN have no part in it.
    """

    targets: Montage

    def spatial_weights(
        self, coords: 'Float[Tensor, "channel 3"]'
    ) -> 'Float[Tensor, "target channel"]': ...


@runtime_checkable
class Attends(Protocol):
    """A backbone that pools tokens by attention: how much each head takes from each, which sums to one over them.

    Token n is channel n % n_channels of the second n // n_channels.
    """

    def attention(
        self, x: 'Float[Tensor, "batch channel *time"]', coords: 'Float[Tensor, "channel 3"]'
    ) -> 'Float[Tensor, "batch head token"]': ...


@runtime_checkable
class NamesLayers(Protocol):
    """A backbone that names the layers which its embedding passes and adapters may change, by module path.

    Low-rank adapters go beside the linear layers at or below them, and BitFit trains the biases there. Of a backbone
    that names none, all layers are taken, but for its `decoder`.
    """

    def adapted_layers(self) -> Sequence[str]: ...


@runtime_checkable
class Encodes(Protocol):
    """A frozen univariate encoder: every (channel, second) is embedded alone.

    `name` and `settings` go into the store's recipe; `settings` holds plain JSON values and names everything that
    can change an output (weights by their SHA-256). `encode` takes one-second series in microvolts at `sfreq`.
    """

    name: str
    width: int
    sfreq: float

    def settings(self) -> dict[str, Any]: ...

    def encode(self, series: 'Float[Tensor, "series time"]') -> 'Float[Tensor, "series width"]': ...


class Trains(Encodes, Protocol):
    """An encoder that is a network, whose weights can be trained through.

    `network` is that network, made when it is first asked for. `vectors` is `encode` with a gradient, on the device of
    the network. `adapters` are the ends of the names of those linear layers that adapters of low rank go beside.
    """

    network: Any
    adapters: Sequence[str]

    def vectors(self, series: 'Float[Tensor, "series time"]') -> 'Float[Tensor, "series width"]': ...
