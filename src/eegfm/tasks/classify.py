"""Classification: a backbone, a head, and the two losses of the CBraMod and STAMP protocols.

Two classes share one logit and a binary cross-entropy without smoothing; more classes use a cross-entropy with label
smoothing. Classes weigh alike if `balanced` is set, as `conf/task/classify.yaml` does. The losses follow the STAMP
reference (github.com/autonlab/STAMP, MIT).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from eegfm.contracts import EEGBatch, EegfmError, Embeds, SampleSpec
from eegfm.nn.adapters import Adapters
from eegfm.nn.head import make_head
from eegfm.nn.scaling import Scale, fit_unit, give_unit, size_of, unit_of
from eegfm.tasks.base import OptimizerFactory, ScheduleFactory, Task
from eegfm.tasks.metrics import Predictions, Scores, monitor_of, probabilities, refuse_unlabelled


@runtime_checkable
class FitsInput(Protocol):
    """A backbone that wants to see the training split once before training, to standardise by it."""

    def fit_input(self, batches: Iterable[Float[Tensor, "batch channel *time"]]) -> None: ...


class Classify(Task):
    """Train `backbone` and a head to tell `spec.classes` apart.

    `freeze` trains no backbone parameter; `last_tensors` trains only that many of its parameter tensors,
    counted from the end of `named_parameters()` as EEGM2's reference does. `freeze_head` keeps the head's
    random initial weights: in EEGM2's published fine-tuning the optimiser never received the head.
    `adapters` trains these alone of the backbone, which otherwise runs as in a fine-tuning (dropout acts, and
    batch norms follow the data).

    The head is one linear layer; with `hidden` sizes it has a Linear and an `activation` for each, and
    `dropout` after each but the last. hidden="published" is the backbone's own head (see `eegfm.nn.head`),
    with its own activation and dropout. `head_lr` is the head's learning rate, where it differs from that
    of `optimizer`; a schedule scales both. `label_smoothing` acts on more than two classes only. `balanced`
    weighs every window in the loss by the inverse frequency of its class in the training split, as balanced
    accuracy does; the published recipes do not. A frozen backbone gets no gradient and stays in eval mode.
    With threshold="validation" the decision of two classes moves from one half to where balanced accuracy is highest
    on the validation windows; a training chooses it at its end (`eegfm.training.threshold`) and keeps it in the head.
    `scale` divides the backbone's input (see `eegfm.nn.scaling.size_of`); it must equal that of the
    pre-training, if there was one.

    Logs "train/loss" of each step and epoch, and for "val" and "test" the loss (mean over windows) and
    every metric of `metrics.scores` once per epoch. After `validate`, `test` or `predict`, and after each
    validation of a fit, `outputs` holds the predictions of that split in the loader's order, gathered from
    all processes.

    A backbone with `fit_input` (see `FitsInput`), frozen or not, is shown the training split once, in
    stored order, when a fit starts: such statistics belong to the data, not to the weights. A resumed fit
    takes them from its checkpoint instead. The data module supplies the split: `train_inputs()` yields x,
    batch by batch.

    Raises EegfmError if `spec` names fewer than two classes, if `last_tensors` is not between 0 and the
    number of the backbone's tensors, if nothing would be trained, and if the adapters cannot be put in.
    """

    class_weight: Tensor

    def __init__(
        self,
        backbone: Embeds,
        spec: SampleSpec,
        *,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None = None,
        hidden: Sequence[int] | Literal["published"] = (),
        head_lr: float | None = None,
        activation: Literal["elu", "relu"] = "elu",
        dropout: float = 0.0,
        threshold: Literal["validation"] | None = None,
        label_smoothing: float = 0.1,
        balanced: bool = False,
        freeze: bool = False,
        last_tensors: int | None = None,
        freeze_head: bool = False,
        adapters: Adapters | None = None,
        scale: Scale = None,
        decay: Literal["all", "matrices"] = "all",
        seed: int,
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule, decay=decay, seed=seed)
        refuse_unlabelled(spec.classes, "classify")
        assert isinstance(backbone, nn.Module)
        self.backbone = backbone
        self.head = make_head(
            backbone,
            spec.n_logits,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            threshold=threshold,
        )
        self.head_lr = head_lr
        self.monitor = monitor_of(spec.classes)
        self.scale: Scale = scale
        give_unit(backbone, scale)
        self.label_smoothing = label_smoothing
        self.balanced = balanced
        self.register_buffer("class_weight", torch.ones(len(spec.classes)))
        for name in getattr(backbone, "decoder", ()):  # classification does not use the decoder
            backbone.get_submodule(name).requires_grad_(False)
        self.frozen = freeze  # not named `freeze`: every LightningModule has a method of that name
        if freeze:
            # eval here as well as in `train`: Lightning keeps the modes that it finds and calls neither method
            backbone.requires_grad_(False).eval()
        if last_tensors is not None:
            _train_last(backbone, last_tensors)
        if adapters is not None:
            if freeze or last_tensors is not None:
                raise EegfmError(
                    f"adapt={adapters.kind} freezes the backbone around its adapters. Leave out task.freeze and "
                    "task.last_tensors."
                )
            adapters.put_into(backbone)  # after the head, which so is drawn as without them
        if freeze_head:
            self.head.requires_grad_(False)
        if not any(p.requires_grad for p in self.parameters()):
            raise EegfmError(
                "Nothing is left to train: backbone and head are both frozen. Leave out task.freeze_head, or one of "
                "task.freeze and task.last_tensors=0."
            )
        self.scores = Scores(spec.classes)
        self.outputs: Predictions | None = None
        self._keys: list[str] = []

    def forward(
        self, x: Float[Tensor, "batch channel *time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch logit"]:
        return self.head(self.backbone.embed(self.scaled(x), coords))

    def scaled(self, x: Float[Tensor, "batch channel *time"]) -> Float[Tensor, "batch channel *time"]:
        """The backbone's input for windows in microvolts."""
        return x if self.scale is None else x / size_of(x, unit_of(self.scale, self.backbone))

    def loss(self, logits: Float[Tensor, "batch logit"], label: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Mean over the batch: binary cross-entropy of one logit, else cross-entropy with label smoothing."""
        weight = self.class_weight.to(logits.dtype)[label]
        if logits.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(logits[:, 0], label.to(logits.dtype), weight)
        # cross_entropy's own weights divide by their sum: a mean over batches would not be one over windows
        each = F.cross_entropy(logits, label, reduction="none", label_smoothing=self.label_smoothing)
        return (weight * each).mean()

    def train(self, mode: bool = True) -> "Classify":
        super().train(mode)
        if self.frozen:
            self.backbone.eval()  # dropout and running statistics are frozen too
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        if self.head_lr is None:
            return super().parameter_groups()
        head = [{**group, "lr": self.head_lr} for group in self.by_decay(self.head.parameters())]
        return [*self.by_decay(self.backbone.parameters()), *head]

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        schedule = made["lr_scheduler"]["scheduler"] if isinstance(made, dict) else None
        if self.head_lr is not None and isinstance(schedule, OneCycleLR):
            raise EegfmError(
                f"task.head_lr={self.head_lr}: the one-cycle schedule takes every rate from its own max_lr. Type "
                "task.head_lr=null, or choose another schedule (eegfm.tasks.schedules.cosine)."
            )
        return made

    def on_fit_start(self) -> None:
        self._refuse_one_class()
        if self.balanced and self.trainer.ckpt_path is None:
            self.class_weight.copy_(inverse_frequency(self._data("class_counts").class_counts()))
        if self.frozen:  # Lightning would warn, though eval mode is intended; a run puts the filters back
            warnings.filterwarnings(
                "ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training"
            )
        fit_unit(self.backbone, self.train_windows())
        # a checkpoint is restored before this hook; sharded strategies restore it later and overwrite this fit
        if isinstance(self.backbone, FitsInput) and self.trainer.ckpt_path is None:
            self.backbone.fit_input(self._train_inputs())

    def training_step(self, batch: EEGBatch, batch_idx: int) -> Float[Tensor, ""]:
        loss = self.loss(self(batch.x, batch.coords), batch.label)
        self.log_training({"train/loss": loss}, len(batch.label), on_step=True)
        return loss

    def validation_step(self, batch: EEGBatch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: EEGBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def predict_step(self, batch: EEGBatch, batch_idx: int) -> Float[Tensor, "batch class"]:
        """Class probabilities, one column per class (float64, on the CPU)."""
        return torch.from_numpy(probabilities(self._gather(batch)))

    def on_validation_epoch_start(self) -> None:
        self._start()

    def on_test_epoch_start(self) -> None:
        self._start()

    def on_predict_epoch_start(self) -> None:
        self._start()

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def on_predict_epoch_end(self) -> None:
        self.outputs = self.scores.predictions(self._keys)

    def _start(self) -> None:
        self.scores.reset()
        self._keys = []

    def _gather(self, batch: EEGBatch) -> Float[Tensor, "batch logit"]:
        logits = self(batch.x, batch.coords)
        self.scores.update(logits, batch.label, batch.subject)
        self._keys += batch.key
        return logits

    def _evaluate(self, batch: EEGBatch, split: str) -> None:
        loss = self.loss(self._gather(batch), batch.label)
        self.log_mean({f"{split}/loss": loss}, len(batch.label))

    def _finish(self, split: str) -> None:
        self.outputs = self.scores.predictions(self._keys)
        found = self.scores.compute()  # over all processes, so all log the same values
        self.log_dict({f"{split}/{name}": value for name, value in found.items()}, sync_dist=True)

    def _refuse_one_class(self) -> None:
        """One class is left when windows are longer than the recordings of all other classes."""
        data: Any = getattr(self.trainer, "datamodule", None)
        counts = data.class_counts() if hasattr(data, "class_counts") else None
        if counts is not None and int((counts > 0).sum()) < 2:
            raise EegfmError(
                f"All {int(counts.sum())} training windows are of one class. Choose shorter windows (data.window_s), "
                "more subjects, or another split."
            )

    def _train_inputs(self) -> Iterator[Float[Tensor, "batch channel *time"]]:
        for x in self._data("train_inputs").train_inputs():
            yield self.scaled(x.to(self.device))

    def _data(self, method: str) -> Any:
        """The fit's data module, which must have this method."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, method):
            raise EegfmError(
                f"{type(self.backbone).__name__} or its loss is set by the training split, and the trainer was given "
                f"no data module with {method}(). Use trainer.fit(task, datamodule=...), or another norm and "
                "task.balanced=false."
            )
        return data


def inverse_frequency(counts: Int[Tensor, " class"]) -> Float[Tensor, " class"]:
    """Class weights with a mean of one over the windows; a class without windows has weight zero."""
    present = counts > 0
    return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 0.0)


def _train_last(backbone: nn.Module, count: int) -> None:
    """Train only the last `count` parameter tensors of a backbone."""
    tensors = list(backbone.parameters())
    if not 0 <= count <= len(tensors):
        raise EegfmError(
            f"task.last_tensors={count}: this {type(backbone).__name__} has {len(tensors)} parameter tensors. "
            f"Type a number from 0 to {len(tensors)}, or null for all."
        )
    for tensor in tensors[: len(tensors) - count]:
        tensor.requires_grad_(False)
