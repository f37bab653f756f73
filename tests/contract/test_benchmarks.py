"""What every benchmark owes, whatever its corpus. Benchmarks are found by their config, in every form they offer."""

import dataclasses
import itertools
import pickle
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.config.schema import benchmark_options, config_dir
from eegfm.data.recipe import Recipe
from eegfm.signal.montage import NOT_A_PLACE

FILES = benchmark_options()


def forms() -> dict[str, tuple[str, BenchmarkSpec]]:
    """Every benchmark with every combination of its arguments."""
    found = {}
    for path in FILES:
        node = OmegaConf.load(path).benchmark
        if "path" in node:
            found[path.stem] = (path.stem, instantiate(node))
            continue
        hints = get_type_hints(get_object(node._target_))
        names = [name for name in hints if name != "return"]
        for values in itertools.product(*(get_args(hints[name]) for name in names)):
            chosen = dict(zip(names, values, strict=True))
            found["-".join([path.stem, *values])] = (path.stem, instantiate(OmegaConf.merge(node, chosen)))
    return found


FORMS = forms()


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def named(request) -> tuple[str, BenchmarkSpec]:
    return request.param


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_config_writes_out_every_argument_with_its_choices(path):
    node = OmegaConf.load(path).benchmark
    if "path" not in node:
        hints = get_type_hints(get_object(node._target_))
        assert set(node) - {"_target_"} == set(hints) - {"return"}
        for name, hint in hints.items():
            if name != "return":
                assert node[name] in get_args(hint)


def test_no_two_forms_share_a_store():
    recipes = [Recipe.of(benchmark).folder for _, benchmark in FORMS.values()]
    assert len(set(recipes)) == len(recipes)


def test_only_the_published_form_may_stand_beside_published_numbers():
    for name, (_, benchmark) in FORMS.items():
        assert ("repaired" in name) == ("repaired" in benchmark.protocol), name


def test_it_is_known_by_one_name_everywhere(named):
    name, benchmark = named
    assert benchmark.name == name
    assert name in (config_dir().parent / "data" / "README.md").read_text(encoding="utf-8")


def test_it_says_whose_it_is_and_under_which_protocol(named):
    _, benchmark = named
    assert "@" in benchmark.protocol
    for text in (
        benchmark.title,
        benchmark.corpus,
        benchmark.licence,
        benchmark.access,
        benchmark.citation,
    ):
        assert text.strip()


def test_every_recording_belongs_to_a_subject_of_its_split_and_has_a_name_of_its_own(named, tmp_path):
    _, benchmark = named
    sources = benchmark.sources(tmp_path)
    assert len({source.recording for source in sources}) == len(sources)
    for source in sources:
        if benchmark.splits is not None and source.split is not None:
            assert source.subject in benchmark.splits[source.split]
        assert source.split is not None or benchmark.within_subject
        assert "/" not in source.recording
        assert all(path.is_relative_to(tmp_path) for path in source.files)
    assert sources == benchmark.sources(tmp_path), "the order is the protocol's, not the disk's"


def test_its_census_agrees_with_itself(named, tmp_path):
    _, benchmark = named
    census = benchmark.census
    if census.recordings is not None and benchmark.sources(tmp_path):  # a scanned corpus is not there
        assert census.recordings == len(benchmark.sources(tmp_path))
    if census.per_split is not None and census.windows is not None and set(census.per_split) == set(SPLITS):
        assert sum(census.per_split.values()) == census.windows
    for split, counts in (census.per_class or {}).items():
        assert len(counts) == len(benchmark.classes)
        if census.per_split is not None:
            assert sum(counts) == census.per_split[split]
    assert census.source


def test_every_row_is_a_place_in_metres_or_declared_as_none(named):
    _, benchmark = named
    montage = benchmark.montage
    assert montage.names == benchmark.channels and len(set(benchmark.channels)) == len(benchmark.channels)
    for name, place in zip(montage.names, montage.coords, strict=True):
        if name in NOT_A_PLACE:
            assert np.isnan(place).all()
        else:
            assert 0.04 < np.linalg.norm(place) < 0.18
    places = montage.coords[np.isfinite(montage.coords).all(axis=1)]
    assert len(np.unique(places.round(6), axis=0)) == len(places), "two rows of one place"


def test_only_a_published_form_has_keys_of_the_references_store():
    """Not TUAB, whose keys do not say whose a window is, nor the edition of BCIC-IV-2a that is not the reference's."""
    without = {"tuab-published", "bciciv2a-published-gdf"}
    for name, (_, benchmark) in FORMS.items():
        published = benchmark.protocol.startswith("cbramod@")
        assert (benchmark.reference_key is not None) == (published and name not in without), name


def test_its_window_is_a_whole_number_of_samples(named):
    _, benchmark = named
    assert benchmark.n_times == pytest.approx(benchmark.window_s * benchmark.sfreq, abs=1e-9)


def test_it_and_its_steps_are_facts_that_travel_to_a_worker(named):
    _, benchmark = named
    assert pickle.loads(pickle.dumps(benchmark)).splits == benchmark.splits
    for step in benchmark.steps:
        assert (
            dataclasses.is_dataclass(step)
            and type(step).__dataclass_params__.frozen
            and type(step).version >= 1
        )
    assert Recipe.of(benchmark).fingerprint == Recipe.of(benchmark, benchmark.steps).fingerprint
