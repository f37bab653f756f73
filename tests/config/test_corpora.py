"""One corpus is a mix of one: commands for a single corpus take both, and refuse several."""

import pytest
from hydra import compose, initialize_config_dir

from eegfm.config.corpora import corpora_of, one_corpus
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
