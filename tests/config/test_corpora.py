"""One corpus is a mix of one: commands for a single corpus take both, and refuse several."""

import pytest
from hydra import compose, initialize_config_dir

from eegfm.config.corpora import corpora_of, one_corpus, preparation_of
from eegfm.config.make import make
from eegfm.config.schema import config_dir, register
from eegfm.contracts import EegfmError


def composed(*overrides: str):
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("prepare", overrides=list(overrides))


def test_a_corpus_alone_and_a_mix_of_it_have_the_same_node():
    alone, mixed = composed("data=tuab"), composed("data=mix", "data/corpora=[tuab]")
    assert list(corpora_of(alone.data)) == [""] and list(corpora_of(mixed.data)) == ["tuab"]
    assert one_corpus(alone, "eegfm verify") == one_corpus(mixed, "eegfm verify") == alone.data


def test_several_corpora_and_none_are_refused_with_what_to_type():
    with pytest.raises(EegfmError, match=r"given to eegfm verify\. .*: data=tuab or data=tuev"):
        one_corpus(composed("data=mix", "data/corpora=[tuab,tuev]"), "eegfm verify")
    with pytest.raises(EegfmError, match="data=<benchmark>"):
        one_corpus(composed("data=mix"), "eegfm verify")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.window_s=2"],
        ["data.imported=true"],
        ["data.steps=[{_target_: eegfm.signal.steps.BandPass, low: 1, high: 40}]"],
        ["encoder=spectrum"],
    ],
)
def test_what_is_prepared_is_the_store_that_the_data_module_opens(overrides):
    config = composed("data=mental_arithmetic", *overrides)
    encoder = make(config.encoder, "encoder")
    data = make(config.data, "data")(encoder=encoder)
    prepared = preparation_of(config.data, encoder)
    assert prepared.recipe.fingerprint == data.recipe.fingerprint
    published = preparation_of(composed("data=mental_arithmetic").data).recipe.fingerprint
    assert (prepared.recipe.fingerprint == published) == (not overrides)
    for name in ("raw", "cache", "allow_partial", "download", "prepare_workers"):
        assert getattr(prepared, name) == getattr(data.preparation, name)
