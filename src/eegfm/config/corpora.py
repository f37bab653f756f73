"""The corpora of a config's data: one, or those of a mix."""

from omegaconf import DictConfig

from eegfm.contracts import EegfmError


def corpora_of(data: DictConfig) -> dict[str, DictConfig]:
    """The node of each corpus by name; one corpus is a mix of one, and has the name "" where it is alone."""
    return dict(data.get("corpora", {"": data}))


def one_corpus(config: DictConfig, what: str) -> DictConfig:
    """The node of the config's corpus, for a command that handles one (`what` says how); several are refused."""
    corpora = corpora_of(config.data)
    if len(corpora) != 1:
        each = " or ".join(f"data={name}" for name in corpora) or "data=<benchmark>"
        raise EegfmError(f"A mix of benchmarks was given to {what}. Take one at a time: {each}")
    (data,) = corpora.values()
    return data
