"""A network outside of the package: plain torch, nothing of eegfm.

    cd examples/own_model
    eegfm check model=filters data=synthetic
    eegfm train model=filters data=synthetic
    eegfm train model=filters data=synthetic model.args.width=32

`conf/model/filters.yaml` gives it a name, `conf/recipe/filters/` says how it is trained.
"""

from torch import Tensor, nn


class Net(nn.Module):
    """Microvolts [batch, channel, time] -> logits [batch, class]: learnt filters, their log power, a linear layer."""

    def __init__(self, n_channels: int, n_classes: int, width: int = 16) -> None:
        super().__init__()
        self.filters = nn.Conv1d(n_channels, width, 25, padding="same", bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        power = self.norm(self.filters(x)).square().mean(-1)
        return self.last(power.add(1e-6).log())
