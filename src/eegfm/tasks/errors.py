"""How far reconstructions are from their windows: in microvolts, by window and channel, over whole splits.

Errors are gathered window by window and summed up once, so a split's number covers all of its samples and
is no average over batches. Squares are pooled before the root is taken. In a mix of corpora
(`eegfm.data.mix`), windows may differ in length and in channels; each window counts as one whatever its
size, and every number is also given for each corpus. A channel that a window lacks is NaN in these tables
and counts for nothing.

Unusual: `acmse` is EEGM2's "average MSE across all channels", the measure of its tables. Its code first
averages all windows of a split to one waveform per channel, original and reconstruction, takes the squared
error of these two waveforms, and divides the sum over channels by the number of samples where the number of
channels was meant. Windows of unlocked EEG average to almost nothing, so `acmse` says little about any
reconstruction; it is here for comparison with the published numbers, in the unit that the model sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.tasks.metrics import of_all_processes

PARTS = (
    "hidden",
    "visible",
    "interpolation",
)  # parts of the squared error, beside that of all samples, where there is a mask
NO_SQUARES = ("absolute", "variance")


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """The errors of a split, window by window, in the loader's order.

    `square` is the mean squared error in µV² of every window and channel over "all" samples and, with a
    mask, over the "hidden" samples, the "visible" samples, and the hidden samples when "interpolation" by a
    straight line fills them; or the error of other answers over "all" samples, by their names (see
    `Errors`). `absolute` is the mean absolute error in µV, `variance` the mean square of the window about
    its mean in µV². `subject` is the position in the store's sorted list of subject ids. `loss` is that of
    the window's batch. `corpus` is the position of the window's corpus in `corpora`, whose only name is ""
    where a corpus is alone. `acmse` averages windows of one length: None if there are several corpora.
    """

    keys: list[str]
    subject: Int[np.ndarray, " window"]
    square: dict[str, Float[np.ndarray, "window channel"]]
    absolute: Float[np.ndarray, "window channel"]
    variance: Float[np.ndarray, "window channel"]
    loss: Float[np.ndarray, " window"]
    acmse: float | None
    corpora: tuple[str, ...]
    corpus: Int[np.ndarray, " window"]

    def metrics(self) -> dict[str, float]:
        """The split's loss, errors and `acmse`; corpora with names add their own: "rmse_uv/tuab"."""
        found = {"loss": float(self.loss.mean()), **self._errors(slice(None))}
        if self.acmse is not None:
            found["acmse"] = self.acmse
        for i, name in enumerate(self.corpora):
            of_corpus = self.corpus == i
            if name and of_corpus.any():
                values = {"loss": float(self.loss[of_corpus].mean()), **self._errors(of_corpus)}
                found |= {f"{key}/{name}": value for key, value in values.items()}
        return found

    def by_subject(self) -> dict[int, dict[str, float]]:
        """The errors of each subject's windows alone, by ascending subject."""
        return {int(s): self._errors(self.subject == s) for s in np.unique(self.subject)}

    def by_channel(self, part: str = "all") -> Float[np.ndarray, " channel"]:
        """Root mean squared error of every channel over the windows that have it, in µV; NaN if none has."""
        return np.sqrt(mean_there(self.square[part], axis=0))

    def by_window(self, part: str = "all") -> Float[np.ndarray, " window"]:
        """Root mean squared error of every window over its channels, in µV."""
        return np.sqrt(mean_there(self.square[part], axis=1))

    def _errors(self, windows: slice | np.ndarray) -> dict[str, float]:
        """Errors of some windows: root mean squared (over all samples and each part) and mean absolute, in
        µV; r2.

        `r2` is the share of the variance that is explained; answering with the mean of every window and
        channel would give 0.
        """

        def mean(values: np.ndarray) -> float:  # a window counts as one, whatever its channels
            return float(mean_there(values[windows], axis=1).mean())

        square = {part: mean(values) for part, values in self.square.items()}
        found = {"rmse_uv": square["all"] ** 0.5}
        found |= {f"{part}_rmse_uv": value**0.5 for part, value in square.items() if part != "all"}
        variance = mean(self.variance)
        return found | {
            "mae_uv": mean(self.absolute),
            "r2": 1 - square["all"] / variance if variance > 0 else float("nan"),
        }


class Errors(Metric):
    """Gather the errors of a split. torchmetrics concatenates or sums the states over processes.

    `shape` is that of the windows; with several corpora, lengths may differ from batch to batch. `rows` holds
    for each corpus, by name, the rows of `shape` that its windows have. `beside` names answers other than the
    model's, which are scored with it ("mean" as "mean_rmse_uv").
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    subject: list[Tensor]
    corpus: list[Tensor]
    loss: list[Tensor]
    table: list[Tensor]
    true_sum: Tensor
    pred_sum: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        *,
        masked: bool,
        beside: Sequence[str] = (),
        rows: Mapping[str, Sequence[int]],
    ) -> None:
        super().__init__()
        self.n_channels = shape[0]
        self.corpora, self.rows = tuple(rows), tuple(map(list, rows.values()))
        self.one_length = len(rows) == 1
        self.columns = ("all", *(PARTS if masked else ()), *beside, *NO_SQUARES)
        for name in ("subject", "corpus", "loss", "table"):  # the table: [window, column, channel]
            self.add_state(name, default=[], dist_reduce_fx="cat")
        for name in ("true_sum", "pred_sum"):
            self.add_state(
                name, default=torch.zeros(tuple(shape) if self.one_length else ()), dist_reduce_fx="sum"
            )

    def update(
        self,
        loss: Float[Tensor, ""],
        pred: Float[Tensor, "batch channel time"],
        true: Float[Tensor, "batch channel time"],
        size: Float[Tensor, "#batch #channel 1"],
        subject: Int[Tensor, " batch"],
        hidden: Bool[Tensor, "batch channel time"] | None = None,
        drawn: Float[Tensor, "batch channel time"] | None = None,
        corpus: str = "",
        beside: Sequence[Float[Tensor, "#batch #channel #time"]] = (),
    ) -> None:
        """`pred` and `true` are in the model's unit of `size` microvolts; `drawn` holds the straight lines.

        `corpus` is the batch's entry in `corpora`; `beside` holds the other answers, in shapes that
        broadcast.
        """
        error = (pred - true) * size
        square = error.square()
        columns = [square.mean(-1)]
        if hidden is not None:
            assert drawn is not None
            lines = ((drawn - true) * size).square()
            columns += [_mean(square, hidden), _mean(square, ~hidden), _mean(lines, hidden)]
        columns += [((other - true) * size).square().mean(-1) for other in beside]
        columns += [error.abs().mean(-1), (true * size).var(-1, correction=0)]
        table = torch.stack(columns, dim=1)
        position = self.corpora.index(corpus)
        whole = table.new_full((*table.shape[:2], self.n_channels), torch.nan)
        whole[:, :, self.rows[position]] = table
        self.table.append(whole)
        self.subject.append(subject)
        self.loss.append(loss.detach().expand(len(true)))
        self.corpus.append(torch.full_like(subject, position))
        if self.one_length:
            self.true_sum += true.sum(0)
            self.pred_sum += pred.sum(0)

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """`Reconstructions.metrics` of everything since the last reset, as scalars on the metric's device."""
        found = self._found([]).metrics()
        return {name: torch.tensor(value, device=self.device) for name, value in found.items()}

    def reconstructions(self, keys: list[str]) -> Reconstructions:
        """The errors that all processes have gathered since the last reset; `keys` are those of this
        process.

        Raises:
            EegfmError: nothing was gathered, or the model's output is not a number.
        """
        with self.sync_context():
            return self._found(of_all_processes(keys))

    def _found(self, keys: list[str]) -> Reconstructions:
        if not len(self.table):
            raise EegfmError(
                "There is no window to score. Check the split and its limits (trainer.limit_*_batches)."
            )
        table = dim_zero_cat(self.table).double().cpu().numpy()
        corpus = dim_zero_cat(self.corpus).cpu().numpy()
        has = np.array([np.isin(np.arange(self.n_channels), own) for own in self.rows])
        wrong = ~np.isfinite(table) & has[corpus][:, None]
        bad = int(wrong.any(axis=(1, 2)).sum())
        if bad:
            raise EegfmError(
                f"The reconstruction is not a number for {bad} of {len(table)} windows: training has diverged. "
                "Lower the learning rate, clip the gradient (trainer.gradient_clip_val=1.0), or look for NaN in "
                "the store."
            )
        column = {name: table[:, i] for i, name in enumerate(self.columns)}
        acmse = None
        if self.one_length:
            waves = (self.true_sum - self.pred_sum).double() / len(table)
            # mean over time, sum over channels, divided by the number of samples: as published
            acmse = float(waves.square().mean(-1).sum() / waves.shape[-1])
        return Reconstructions(
            keys=list(keys),
            subject=dim_zero_cat(self.subject).cpu().numpy(),
            square={name: column[name] for name in self.columns if name not in NO_SQUARES},
            absolute=column["absolute"],
            variance=column["variance"],
            loss=dim_zero_cat(self.loss).double().cpu().numpy(),
            acmse=acmse,
            corpora=self.corpora,
            corpus=corpus,
        )


def _mean(
    values: Float[Tensor, "batch channel time"], where: Bool[Tensor, "batch channel time"]
) -> Float[Tensor, "batch channel"]:
    """Mean over the chosen samples of each row; 0 for a row without any."""
    return (values * where).sum(-1) / where.sum(-1).clamp(min=1)


def mean_there(values: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """The mean of the values that are not NaN; NaN where all are."""
    there = ~np.isnan(values)
    n = there.sum(axis=axis)
    return np.where(there, values, 0.0).sum(axis=axis) / np.where(n > 0, n, np.nan)


def rows_of(spec: SampleSpec) -> dict[str, list[int]]:
    """For each corpus, the rows of `spec.montage` that are its channels."""
    position = {name: row for row, name in enumerate(spec.montage.names)}
    return {
        corpus: [position[name] for name in montage.names] for corpus, montage in spec.montage_of.items()
    }
