"""What a loader gives: the right split in the right order, and the test split only in the test stage."""

import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from eegfm.contracts import EegfmError
from eegfm.data.loaders import Windows
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.embed import embed, processes_for
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.recipe import Recipe
from eegfm.data.splits import FewShot, KFold
from eegfm.data.store import SampleIndex, digests, write_store
from tests import corpus
from tests.corpus import TINY


class MeanAndStep:
    """An encoder whose vectors a person can check: a second's mean, its first sample, its last."""

    name, width, sfreq, input_norm = "mean_and_step", 3, 200.0, "none"

    def settings(self):
        return {"version": 1}

    def encode(self, series):
        return torch.stack([series.mean(1), series[:, 0], series[:, -1]], dim=1)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("module")
    corpus.write(root / "raw")
    return root


def module(places, **options) -> EEGDataModule:
    data = EEGDataModule(
        benchmark=TINY,
        raw=places / "raw",
        cache=places / "cache",
        progress=False,
        **({"seed": 3, "batch_size": 8} | options),
    )
    data.prepare_data()
    return data


def test_the_spec_is_known_before_any_file_is_opened_and_is_what_comes(places):
    data = EEGDataModule(benchmark=TINY, raw="nowhere", cache="nowhere", seed=0)
    assert data.spec.shape == (4, 400)
    real = module(places, encoder=MeanAndStep())
    real.setup("fit")
    batch = next(iter(real.train_dataloader()))
    assert batch.x.shape == (8, *real.spec.shape) == (8, 4, 2, 3) and batch.x.dtype == torch.float32
    assert batch.coords.shape == (4, 3)


def test_the_test_split_opens_in_the_test_stage_only(places):
    data = module(places)
    data.setup("fit")
    for ask in (data.test_dataloader, lambda: data.arrays("test"), lambda: data.split_dataloader("test")):
        with pytest.raises(EegfmError, match='setup\\("test"\\) only'):
            ask()
    data.setup("test")
    assert sum(len(batch.label) for batch in data.test_dataloader()) == 12


def test_evaluation_is_in_stored_order_and_training_order_is_a_function_of_seed_and_epoch(places):
    data = module(places)
    data.setup("fit")
    val = [key for batch in data.val_dataloader() for key in batch.key]
    assert val == [f"S04_{label}/{onset}s" for label in (0, 1) for onset in range(0, 12, 2)]

    def order(epoch: int) -> list[str]:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        torch.rand(epoch + 7)  # whatever else draws random numbers
        return [key for batch in loader for key in batch.key]

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1)) and len(order(0)) == 36
    assert list(Windows(50, 4, 1)) != list(Windows(50, 4, 2))


def test_windows_of_a_recording_stand_side_by_side_where_that_is_wanted(places):
    """Groups of four of each of nine recordings, every window once, by seed and epoch; batches hold whole groups."""
    recordings = np.arange(90) % 9
    order = Windows(90, 8, 1, together=4, recordings=recordings)
    first, again = list(order), list(order)
    order.set_epoch(1)
    assert first == again != list(order) and sorted(n for one in first for n in one) == list(range(90))
    kinds = [len(set(recordings[batch])) for batch in first]
    alone = [len(set(recordings[batch])) for batch in Windows(90, 8, 1)]
    assert max(kinds) <= 4 < np.mean(alone) and np.mean(kinds) < 3  # 2 and 3 at the ends of recordings
    data = module(places, together=3, batch_size=6)
    data.setup("fit")
    told = [[key.split("/")[0] for key in batch.key] for batch in data.train_dataloader()]
    assert sum(map(len, told)) == 36 and all(len(set(batch)) == 2 for batch in told)
    with pytest.raises(EegfmError, match="together=0"):
        module(places, together=0)


def test_a_number_of_windows_is_trained_on_and_told(places):
    data = module(places, train_windows=5)
    data.setup("fit")
    assert len(data.dataset("train")) == 5 and len(data.dataset("val")) == 12
    assert data.provenance().split == {"train_windows": 5}


@pytest.mark.parametrize("device_cache", [False, True])
def test_an_epoch_that_was_interrupted_goes_on_behind_its_batches_and_the_next_is_whole(
    places, device_cache
):
    def epochs(interrupted) -> list[list[str]]:
        data = module(places, device_cache=device_cache)
        data.load_state_dict(interrupted)
        data.setup("fit")
        loader = data.train_dataloader()
        found = []
        for epoch in (0, 1, 2):
            loader.sampler.set_epoch(epoch)
            found.append([key for batch in loader for key in batch.key])
        return found

    whole, n = epochs({}), 2 * module(places).batch_size
    assert epochs({"epoch": 1, "batches": 2}) == [whole[0], whole[1][n:], whole[2]]


def test_loader_workers_read_the_same(places):
    data = module(places, num_workers=2)
    data.setup("fit")
    alone = module(places)
    alone.setup("fit")
    assert isinstance(data.val_dataloader(), DataLoader)
    for ours, theirs in zip(data.val_dataloader(), alone.val_dataloader(), strict=True):
        assert torch.equal(ours.x, theirs.x) and ours.key == theirs.key


def test_vectors_lie_where_their_second_and_channel_were(places):
    data = module(places, encoder=MeanAndStep())
    data.setup("fit")
    raw = prepare(TINY, places / "raw", places / "cache", progress=False)
    vectors = embed(raw, MeanAndStep(), places / "cache", progress=False)
    windows = raw.read(range(len(raw)))
    got = vectors.read(range(len(vectors))).astype(np.float32)
    for second in (0, 1):
        part = windows[..., second * 200 : (second + 1) * 200]
        np.testing.assert_allclose(got[:, :, second, 1], part[..., 0], rtol=1e-3)
        np.testing.assert_allclose(got[:, :, second, 2], part[..., -1], rtol=1e-3)
        np.testing.assert_allclose(got[:, :, second, 0], part.mean(-1), atol=0.02)
    assert [vectors.index.key(row) for row in range(5)] == [raw.index.key(row) for row in range(5)]
    assert vectors.dtype == np.float16 and vectors.recipe.fingerprint != raw.recipe.fingerprint


def test_an_encoder_of_another_rate_is_refused(places):
    class Faster(MeanAndStep):
        sfreq = 256.0

    raw = prepare(TINY, places / "raw", places / "cache", progress=False)
    with pytest.raises(EegfmError, match=r"at 256 Hz; tiny has windows of 400 samples at 200 Hz"):
        embed(raw, Faster(), places / "cache", progress=False)


def test_an_interrupted_embedding_goes_on(places, tmp_path):
    class Stops(MeanAndStep):
        calls = 0

        def encode(self, series):
            type(self).calls += 1
            if type(self).calls == 4:
                raise KeyboardInterrupt
            return super().encode(series)

    raw = prepare(TINY, places / "raw", tmp_path, progress=False)
    with pytest.raises(KeyboardInterrupt):
        embed(raw, Stops(), tmp_path, progress=False)
    again = embed(raw, Stops(), tmp_path, progress=False)
    assert Stops.calls == 4 + 7  # three of ten recordings were done
    whole = embed(raw, MeanAndStep(), places / "other", progress=False)
    for name in ("samples.mdb", "index.npz", "recipe.json", "checksums.npz"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()


class Counts(MeanAndStep):
    """Keeps how many series it was given, call by call."""

    def __init__(self):
        self.given = []

    def encode(self, series):
        self.given.append(len(series))
        return super().encode(series)


def store_of(windows, recordings, folder):
    """A store of these windows under the names of their recordings, as a preparation writes one."""
    n = len(windows)
    text = np.full(n, "train")
    index = SampleIndex(
        np.zeros(n, int), text, text, np.array(recordings), np.arange(float(n)), text, digests(windows)
    )
    recipe = Recipe({"benchmark": "tiny", "dtype": "float32", "sfreq": 200.0})
    return write_store(folder, corpus.manifest_of(recipe, windows.shape[1:], n), [(windows, index)])


@pytest.mark.parametrize("stops", [False, True])
def test_a_window_that_came_before_is_not_embedded_again(tmp_path, stops):
    """It came in the same or in an earlier recording, even one that was embedded before an interruption."""
    x = np.random.default_rng(0).normal(0, 20, (5, 2, 400)).astype(np.float32)
    source = store_of(x[[0, 1, 0, 1, 2, 3, 3, 0, 4]], list("aaabbbccc"), tmp_path / "raw")
    if stops:
        encoder = Counts()
        encode, encoder.encode = (
            encoder.encode,
            lambda series: encode(series) if not encoder.given else 1 / 0,
        )
        with pytest.raises(ZeroDivisionError):
            embed(source, encoder, tmp_path, progress=False)
        assert encoder.given == [2 * 4]  # recording a: windows 0 and 1, of two channels and two seconds
    encoder = Counts()
    store = embed(source, encoder, tmp_path, progress=False)
    assert encoder.given == [2 * 4] * (not stops) + [2 * 4, 4]
    alone = MeanAndStep().encode(torch.from_numpy(source.read(range(9))).reshape(-1, 200))
    assert np.array_equal(store.read(range(9)), alone.reshape(9, 2, 2, 3).numpy().astype(np.float16))


class AsKept(MeanAndStep):
    """Keeps which process has embedded how many series; refuses what it is told to, but in its own process."""

    def __init__(self, place, refused: float | None = None):
        self.place, self.refused, self.home = place, refused, os.getpid()

    def encode(self, series):
        with open(self.place / str(os.getpid()), "a") as file:
            file.write(f"{len(series)}\n")
        if os.getpid() != self.home and self.refused in series[:, 0]:
            raise EegfmError("not here")
        return super().encode(series)


@pytest.mark.slow
@pytest.mark.long  # Lightning loads twice more
def test_two_processes_write_the_store_that_one_does(tmp_path, monkeypatch):
    """Each its own recordings; one that borrows a window, and one that fails there, are left to the caller."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    x = np.random.default_rng(0).normal(0, 20, (8, 2, 400)).astype(np.float32)
    source = store_of(x[[0, 1, 2, 3, 1, 4, 5, 6, 7]], list("aabbccdef"), tmp_path / "raw")
    kept = tmp_path / "kept"
    kept.mkdir()
    one = embed(source, MeanAndStep(), tmp_path / "one", progress=False)
    encoder = AsKept(kept, refused=float(x[7, 0, 0]))
    two = embed(source, encoder, tmp_path / "two", progress=False, processes=2)
    for name in ("samples.mdb", "index.npz", "recipe.json", "checksums.npz"):
        assert (two.folder / name).read_bytes() == (one.folder / name).read_bytes()
    given = {int(file.name): [int(n) for n in file.read_text().split()] for file in kept.iterdir()}
    # here c, whose first window is a's second, and f; there b and e, a and d and in vain f
    assert given.pop(os.getpid()) == [4, 4]
    assert sorted(given.values()) == [[8, 4], [8, 4, 4]]


@pytest.mark.parametrize("device", ["auto", "cuda:1", "cpu", None])
def test_every_gpu_is_used_where_an_encoder_takes_any(monkeypatch, device):
    encoder = MeanAndStep()
    if device:
        encoder.device = device
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert processes_for(encoder) == 1 or torch.cuda.device_count() > 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert processes_for(encoder) == (3 if device == "auto" else 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert processes_for(encoder) == 1


def test_a_long_recording_goes_through_in_blocks(tmp_path, monkeypatch, caplog):
    """The blocks hold whole windows; the log tells at the end how many series a second were embedded."""
    monkeypatch.setattr("eegfm.data.preparing.embed.BLOCK", 9)
    x = np.random.default_rng(1).normal(0, 20, (5, 2, 400)).astype(np.float32)
    encoder = Counts()
    with caplog.at_level("INFO", logger="eegfm.data.preparing.embed"):
        store = embed(store_of(x, list("aaaaa"), tmp_path / "raw"), encoder, tmp_path, progress=False)
    assert encoder.given == [8, 8, 4]
    np.testing.assert_allclose(store.read(range(5))[:, :, 1, 1], x[..., 200], rtol=1e-3)
    assert "tiny: 20 series through mean_and_step, " in caplog.text and " a second" in caplog.text


@pytest.mark.parametrize("value", [np.inf, np.nan, 7e4])
def test_vectors_that_float16_cannot_hold_are_not_stored(tmp_path, value):
    class Overflows(MeanAndStep):
        def encode(self, series):
            vectors = super().encode(series)
            vectors[5, 1] = value
            return vectors

    source = store_of(np.ones((3, 2, 400), np.float32), list("aab"), tmp_path / "raw")
    source.index.digest[:] = np.arange(3)
    with pytest.raises(EegfmError, match=r"numbers for tiny/a that a float16 store cannot hold.*bfloat16"):
        embed(source, Overflows(), tmp_path, progress=False)
    assert not list(tmp_path.glob("tiny/*.parts/a.json"))


def test_statistics_come_from_the_training_split_in_stored_order(places):
    data = module(places)
    data.setup("fit")
    x, label = data.arrays("train")
    assert torch.equal(torch.cat(list(data.train_inputs())), torch.from_numpy(x))
    assert (
        x.shape == (36, 4, 400)
        and label.tolist() == [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6
    )


def test_an_unprepared_store_is_refused_with_the_command(tmp_path):
    data = EEGDataModule(benchmark=TINY, raw=tmp_path, cache=tmp_path, seed=0)
    with pytest.raises(EegfmError, match="eegfm prepare data=tiny"):
        data.setup("fit")


def test_a_split_on_the_device_gives_the_same_batches_in_the_same_order(places):
    for options in ({}, {"encoder": MeanAndStep()}):
        resident, read = module(places, device_cache=True, **options), module(places, **options)
        for data in (resident, read):
            data.setup("fit")
        pairs = [
            (resident.train_dataloader(), read.train_dataloader()),
            (resident.val_dataloader(), read.val_dataloader()),
        ]
        for ours, theirs in pairs:
            for epoch in (0, 1):
                for loader in (ours, theirs):
                    if hasattr(loader.sampler, "set_epoch"):
                        loader.sampler.set_epoch(epoch)
                assert len(ours) == len(theirs)
                for a, b in zip(ours, theirs, strict=True):
                    assert a.key == b.key and a.x.dtype == b.x.dtype
                    for name in ("x", "coords", "label", "subject"):
                        assert torch.equal(getattr(a, name), getattr(b, name))


def test_another_seed_gives_another_part_order_and_shuffle_of_labels(places):
    def drawn(seed: int) -> list:
        half, data = module(places, train_ratio=0.5, seed=seed), module(places, seed=seed)
        half.setup("fit")
        data.setup("fit")
        order = [key for batch in data.train_dataloader() for key in batch.key]
        assert data.shuffle_labels(within_subject=False)
        return [half.index.rows("train").tolist(), order, data.index.label.tolist()]

    for one, same, other in zip(drawn(3), drawn(3), drawn(4), strict=True):
        assert one == same != other


def test_another_division_moves_rows_and_is_told(places):
    data = module(places, split=KFold(fold=1, folds=5), train_ratio=0.5)
    data.setup("fit")
    facts = data.provenance()
    assert facts.split == {"name": "KFold", "fold": 1, "folds": 5, "seed": 0, "train_ratio": 0.5}
    assert [len(facts.subjects[split]) for split in ("train", "val", "test")] == [3, 1, 1]
    assert facts.census == {"train": [9, 9], "val": [6, 6], "test": [6, 6]}
    assert data.class_counts().tolist() == [9, 9] and len(data.arrays("train")[0]) == 18
    assert not facts.within_subject and facts.leakage.shared_subjects == {}
    store = data.store
    assert store is not None and (store.index.split == "train").sum() == 36, (
        "the store keeps the published split"
    )


def test_few_shots_are_declared_as_within_subject(places):
    data = module(places, split=FewShot(shots=1, gap_s=2.0))
    data.setup("test")
    facts = data.provenance()
    assert facts.within_subject and list(facts.leakage.shared_subjects) == ["05"]
    assert facts.leakage.nearest_s >= 2.0
