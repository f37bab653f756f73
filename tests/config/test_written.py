"""What the environment says is not kept, and a run's name and numbers are as they were."""

from omegaconf import OmegaConf

from eegfm.config.identity import identity_hash, plain, run_identity
from eegfm.config.written import as_written
from tests.config.test_build import composed

SECRET = "not-for-anybody-4242"


def test_a_config_without_the_environment_is_kept_as_resolved(monkeypatch):
    for name in ("EEGFM_DATA", "EEGFM_CACHE", "EEGFM_WEIGHTS", "EEGFM_RUNS"):
        monkeypatch.delenv(name, raising=False)
    config = composed("model=stamp", "encoder=moment", "data=synthetic")
    assert as_written(config) == plain(config)


def test_what_comes_from_the_environment_is_kept_as_it_was_written(monkeypatch):
    """Texts as they stand in the config; a seed or a count, which a run cannot be read without, as a number."""
    monkeypatch.setenv("EEGFM_CACHE", f"/scratch/{SECRET}")
    monkeypatch.setenv("EEGFM_WEIGHTS", f"/scratch/{SECRET}")
    monkeypatch.setenv("KEY", SECRET)
    monkeypatch.setenv("SEED", "3")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    config = composed(
        "model=stamp", "encoder=moment", "data=synthetic", "logger=wandb", "logger.project=${oc.env:KEY}",
        "seed=${oc.env:SEED}", "paper={by: ['not ${oc.env:KEY}']}",
    )  # fmt: skip
    kept = as_written(config)
    assert SECRET not in str(kept) and SECRET in str(plain(config))
    assert kept["paths"]["cache"] == "${oc.env:EEGFM_CACHE,data/cache}"
    assert kept["data"]["cache"] == "${paths.cache}" and kept["data"]["raw"] == "data/raw/synthetic"
    assert kept["encoder"]["weights"] == "${paths.weights}/moment-1-large"
    assert (kept["seed"], kept["data"]["prepare_workers"]) == (3, 7)
    assert kept["logger"]["project"] == "${oc.env:KEY}" and kept["paper"] == {"by": ["not ${oc.env:KEY}"]}
    # a report groups runs by what is kept, a folder is named by what was resolved
    assert identity_hash(kept) == identity_hash(plain(config))
    assert run_identity(kept) == run_identity(plain(config))
    assert OmegaConf.to_container(OmegaConf.create(kept), resolve=True)["logger"]["project"] == SECRET
