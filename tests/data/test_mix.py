"""A mix of corpora: every window once, one corpus in a batch, the right channels, and no subject in two splits."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn
from torch.optim import AdamW

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Census, Source, Window
from eegfm.build import build_data
from eegfm.config.identity import identity_hash
from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.data.mix import Mix
from eegfm.data.mixing.apart import in_a_later_split
from eegfm.data.mixing.batches import Batches
from eegfm.data.mixing.channels import shared_rows
from eegfm.data.module import EEGDataModule
from eegfm.data.splits import KFold
from eegfm.data.store import SampleStore
from eegfm.nn.masks import Spans
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import marks
from eegfm.reporting.run_folders import read_runs
from eegfm.runs.curves import read_curves
from eegfm.runs.results import read_result
from eegfm.runs.summary import show
from eegfm.signal.formats.edf import read_edf
from eegfm.tasks.reconstruct import Reconstruct
from tests.command_line import call, environment
from tests.composed import composed
from tests.corpora import tone, tuab, tuev
from tests.corpus import TINY, write_edf
from tests.made_run import make_run
from tests.tasks.toy import trainer

SECONDS = 12
ONE = {"train": ("a", "b", "c"), "val": ("d",), "test": ("e",)}
TWO = {"train": ("p", "q"), "val": ("r",), "test": ("s",)}


def corpus(
    name: str, channels: tuple[str, ...], window_s: float, subjects, kind="R", **facts
) -> BenchmarkSpec:
    """A recording a subject, of the tones of its electrodes, in windows without gaps."""

    def sources(root: Path) -> list[Source]:
        return [
            Source(s, kind + s, split, root / f"{kind}{s}.edf") for split in SPLITS for s in subjects[split]
        ]

    def windows(recording, source) -> list[Window]:
        return [Window(float(onset), i % 2) for i, onset in enumerate(np.arange(0, SECONDS, window_s))]

    facts = {"title": name.title(), "sfreq": 200.0, "raw_sfreq": (200.0,), "steps": (), **facts}
    return replace(
        TINY,
        name=name,
        channels=channels,
        window_s=window_s,
        splits=subjects,
        census=Census(),
        sources=sources,
        read=lambda source: read_edf(source.path, channels=channels),
        windows=windows,
        **facts,
    )


def signal(recording: str, name: str, seconds: np.ndarray) -> np.ndarray:
    return tone(recording, name.upper().replace("T3", "T7"), seconds)


def write(benchmark: BenchmarkSpec, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    times = np.arange(SECONDS * 200) / 200
    for source in benchmark.sources(root):
        rows = np.stack([signal(source.recording, name, times) for name in benchmark.channels])
        write_edf(source.path, rows, 200.0, names=benchmark.channels)


FIRST = corpus("first", ("Fz", "T3", "C3", "Cz"), 2.0, ONE)
SECOND = corpus("second", ("CZ", "O1", "c3", "T7", "FZ"), 1.0, TWO)
SHARED = ("Fz", "T3", "C3", "Cz")


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mix")
    for benchmark in (FIRST, SECOND):
        write(benchmark, root / "raw" / benchmark.name)
    return root


def mix(places: Path, *benchmarks: BenchmarkSpec, own=None, **options) -> Mix:
    corpora = {
        b.name: partial(
            EEGDataModule,
            benchmark=b,
            raw=places / "raw" / b.name,
            cache=places / "cache",
            seed=3,
            progress=False,
            **(own or {}),
        )
        for b in benchmarks or (FIRST, SECOND)
    }
    data = Mix(corpora=corpora, **({"seed": 3, "channels": "common", "batch_size": 5} | options))
    data.prepare_data()
    return data


def ready(places: Path, *benchmarks: BenchmarkSpec, stage: str = "fit", **options) -> Mix:
    data = mix(places, *benchmarks, **options)
    data.setup(stage)
    return data


# ---- batches ---------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(0, 40), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 3),
    st.integers(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_every_window_comes_once_in_batches_of_one_corpus_by_seed_and_epoch_alone(sizes, n, seed, epoch):
    sampler = Batches(sizes, n, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert Counter((corpus, i) for corpus, places in batches for i in places) == Counter(
        (corpus, i) for corpus, size in sizes.items() for i in range(size)
    )
    for corpus, size in sizes.items():  # no batch is smaller than it must be
        assert sorted(len(p) for c, p in batches if c == corpus)[1:] == [n] * (-(-size // n) - 1)
    again = Batches(sizes, n, seed)
    list(again)  # what has been drawn before
    torch.rand(7)
    again.set_epoch(epoch)
    assert list(again) == batches
    stored = [
        (corpus, list(range(i, min(i + n, size))))
        for corpus, size in sizes.items()
        for i in range(0, size, n)
    ]
    assert list(Batches(sizes, n)) == stored


def test_seeds_and_epochs_differ_in_windows_and_in_the_order_of_corpora():
    def drawn(seed: int, epoch: int) -> list:
        sampler = Batches({"a": 40, "b": 40}, 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    for other in (drawn(0, 1), drawn(1, 0)):
        assert other != drawn(0, 0)
        assert [corpus for corpus, _ in other] != [corpus for corpus, _ in drawn(0, 0)]


def test_loaders_give_whole_windows_of_the_store_and_one_read_a_batch(places, monkeypatch):
    data = ready(places)
    loader, n_reads, read = data.train_dataloader(), [], SampleStore.read
    monkeypatch.setattr(SampleStore, "read", lambda *given: n_reads.append(1) or read(*given))
    batches = list(loader)
    assert len(n_reads) == len(batches) == len(loader) == 4 + 5
    seen = Counter(
        (data.subjects[i], key) for b in batches for i, key in zip(b.subject, b.key, strict=True)
    )
    assert set(seen.values()) == {1} and len(seen) == 3 * 6 + 2 * 12
    for batch in batches:
        of = {data.subjects[i].split("/")[0] for i in batch.subject}
        assert of == {batch.corpus} and batch.x.shape[2] == {"first": 400, "second": 200}[batch.corpus]
    val = [key for batch in data.val_dataloader() for key in batch.key]
    assert val == [f"Rd/{2 * i}s" for i in range(6)] + [f"Rr/{i}s" for i in range(12)]
    with pytest.raises(EegfmError, match='setup\\("test"\\) only'):
        data.test_dataloader()
    data.setup("test")
    assert sum(len(batch.key) for batch in data.test_dataloader()) == 6 + 12


def test_loader_workers_read_the_same(places):
    ours, theirs = ready(places, num_workers=2).train_dataloader(), ready(places).train_dataloader()
    for epoch in (0, 1):
        ours.sampler.set_epoch(epoch)
        theirs.sampler.set_epoch(epoch)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a.x, b.x) and a.key == b.key and torch.equal(a.subject, b.subject)
            assert a.corpus == b.corpus


# ---- channels --------------------------------------------------------------------------------------------------------


def test_common_channels_are_those_of_the_known_signals_in_the_order_of_the_first(places):
    """T3 and T7 are one electrode; case does not matter; O1 is the second's alone."""
    data = ready(places)
    assert data.spec.montage.names == SHARED and data.spec.shape == (4, 200) and data.spec.classes == ()
    assert data.spec.corpora == ("first", "second") and data.spec.sfreq == 200
    for part in data.datasets("train").values():
        batch = part.__getitems__(range(0, len(part), 4))
        torch.testing.assert_close(batch.coords, torch.tensor(data.spec.montage.coords).float())
        for x, key in zip(batch.x, batch.key, strict=True):
            recording, onset = key.split("/")
            times = float(onset[:-1]) + np.arange(x.shape[1]) / 200
            expected = np.stack([signal(recording, name, times) for name in SHARED])
            np.testing.assert_allclose(x, expected, atol=0.05)


@given(
    st.lists(st.permutations("ABCDEF").map(lambda names: names[:4]), min_size=2, max_size=4),
    st.sampled_from(["all", "common"]),
)
@settings(max_examples=60, deadline=None)
def test_shared_rows_have_the_same_names_everywhere(corpora, channels):
    names = {str(i): tuple(rows) for i, rows in enumerate(corpora)}
    common = set.intersection(*map(set, corpora))
    if len(common) < (4 if channels == "all" else 2):
        with pytest.raises(EegfmError, match=f"{len(common)} in common"):
            shared_rows(names, channels)
        return
    rows = shared_rows(names, channels)
    found = {tuple(names[c][i] for i in chosen) for c, chosen in rows.items()}
    assert found == {tuple(name for name in corpora[0] if name in common)}


def test_what_does_not_go_together_is_a_sentence(places):
    for sentence, benchmarks, options in (
        (r"first 4 \(Fz, T3, C3, Cz\); second 5 .*data\.channels=common", (), {"channels": "all"}),
        (r"first 200 Hz, slow 100 Hz", (FIRST, replace(FIRST, name="slow", sfreq=100.0)), {}),
        (r"data\.batch_size=7", (), {"own": {"batch_size": 7}}),
        (r"device_cache=True: .*Leave it out", (), {"own": {"device_cache": True}}),
        (r"data\.channels=some", (), {"channels": "some"}),
    ):
        with pytest.raises(EegfmError, match=sentence):
            mix(places, *benchmarks, **options)
    with pytest.raises(EegfmError, match=r"data/corpora=\[tuab,tuev\]"):
        Mix(corpora={}, seed=0)


# ---- splits ----------------------------------------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.sampled_from("pqrstu"), st.sampled_from(["", *SPLITS])), max_size=12)


@given(st.lists(ROWS, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_what_is_left_out_is_just_what_another_corpus_has_in_a_later_split(corpora):
    names = {str(i): np.array([n for n, _ in rows], dtype="<U1") for i, rows in enumerate(corpora)}
    splits = {str(i): np.array([s for _, s in rows], dtype="<U5") for i, rows in enumerate(corpora)}
    order = ["", *SPLITS]
    found = in_a_later_split(names, splits)
    for i, rows in enumerate(corpora):
        others = [row for j, other in enumerate(corpora) if j != i for row in other]
        expected = [
            split != "" and any(n == name and order.index(s) > order.index(split) for n, s in others)
            for name, split in rows
        ]
        assert found[str(i)].tolist() == expected


def test_a_person_of_a_pool_is_in_one_split_of_the_mix(places):
    """The third tests on b and validates on c, whom the first trains on; it trains on e, whom the first tests on."""
    subjects = {"train": ("p", "e"), "val": ("c",), "test": ("b",)}
    pooled = replace(FIRST, pool="hospital")
    third = corpus("third", SHARED, 2.0, subjects, "T", pool="hospital", pool_gap="its p has no name")
    write(third, places / "raw" / "third")
    assert ready(places, FIRST, third).provenance().leakage.left_out == []  # nothing in common
    data = ready(places, pooled, third)
    facts = data.provenance()
    found = {split: set(ids) for split, ids in facts.subjects.items()}
    assert found["train"] == {"first/a", "third/p"}
    assert found["val"] == {"first/d", "third/c"} and found["test"] == {"first/e", "third/b"}
    assert {key.split("/")[0] for batch in data.train_dataloader() for key in batch.key} == {"Ra", "Tp"}
    said = facts.leakage.sentence()
    assert "left out of first, train: 12 windows of 2 subjects (person in a later split" in said
    assert (
        "left out of third, train: 6 windows of 1 subjects" in said
        and "third: its p has no name, so" in said
    )
    assert data.corpora["first"].store is not None
    assert (data.corpora["first"].store.index.split == "train").sum() == 18, "the store stays as it is"
    fourth = corpus(
        "fourth", SHARED, 2.0, {"train": ("p",), "val": ("c",), "test": ("d",)}, "T", pool="hospital"
    )
    write(fourth, places / "raw" / "fourth")
    with pytest.raises(EegfmError, match=r"first: its whole val split .*data/corpora"):
        ready(places, pooled, fourth)


def test_the_same_file_and_the_same_windows_are_in_one_split_of_the_mix(places, tmp_path):
    """Under another name in another corpus: x is b's file, y holds the signal of c in a file of its own."""
    copy = corpus("copy", SHARED, 2.0, {"train": ("p",), "val": ("q",), "test": ("x", "y")})
    raw = tmp_path / "raw" / "copy"
    write(replace(FIRST, sources=FIRST.sources), tmp_path / "raw" / "first")
    write(copy, raw)
    (raw / "Rx.edf").write_bytes((tmp_path / "raw" / "first" / "Rb.edf").read_bytes())
    times = np.arange(SECONDS * 200) / 200
    rows = np.stack([signal("Rc", name, times) for name in SHARED])
    write_edf(raw / "Ry.edf", rows, 200.0, names=SHARED, patient="another")
    data = ready(tmp_path, FIRST, copy)
    left = data.provenance().leakage.left_out
    assert [(gone["what"], gone["subjects"], gone["windows"]) for gone in left] == [
        ("raw file", ["b"], 6),
        ("window", ["c"], 6),
    ]


# ---- training --------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """One convolution, which takes any length, or a plain factor, whose errors are known."""

    def __init__(self, factor: float | None = None) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor or 0.0))
        self.layer = nn.Conv1d(4, 4, 9, padding=4) if factor is None else None

    def forward(self, x, coords):
        return self.factor * x if self.layer is None else self.layer(x)


def task_of(data: Mix, factor: float | None = None, mask=None) -> Reconstruct:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = Small(factor)
    recipe = {"optimizer": partial(AdamW, lr=1e-2), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
    return Reconstruct(backbone, data.spec, mask=mask, **recipe)


def test_errors_are_of_the_whole_and_of_each_corpus(places, tmp_path):
    """The backbone halves everything, so the error is half of the windows' own size, whatever their length."""
    data = mix(places)
    task = task_of(data, 0.5)
    (logged,) = trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    square = {name: part.__getitems__(range(len(part))).x.square().mean((1, 2)).numpy() / 4
              for name, part in data.datasets("val").items()}  # fmt: skip
    for name, values in {
        **{f"/{n}": v for n, v in square.items()},
        "": np.concatenate([*square.values()]),
    }.items():
        assert logged[f"val/rmse_uv{name}"] == pytest.approx(np.sqrt(values.mean()), rel=1e-5)
        assert logged[f"val/loss{name}"] == pytest.approx(values.mean() / 30**2, rel=1e-4)
    assert "val/acmse" not in logged  # an average of windows of one length
    assert task.outputs.metrics() == pytest.approx(
        {k.removeprefix("val/"): v for k, v in logged.items() if k != "val/mse"}, rel=1e-5
    )


def test_a_window_is_masked_as_in_its_own_benchmark(places, tmp_path):
    """Then the error of a corpus in a mix can be compared with that of a run on the corpus alone."""
    mask = partial(Spans, ratio=0.5, span_s=0.2)
    data = mix(places)
    (logged,) = trainer(tmp_path).validate(task_of(data, 0.5, mask), datamodule=data, verbose=False)
    alone = data.corpora["first"]
    (own,) = trainer(tmp_path).validate(task_of(alone, 0.5, mask), datamodule=alone, verbose=False)
    for name in ("loss", "hidden_rmse_uv", "interpolation_rmse_uv", "r2"):
        assert logged[f"val/{name}/first"] == pytest.approx(own[f"val/{name}"], rel=1e-6)


def test_a_resumed_fit_draws_the_same_order_and_ends_with_the_same_weights(places, tmp_path):
    class Notes(Reconstruct):
        def training_step(self, batch, batch_idx):
            self.seen = [*getattr(self, "seen", []), (batch.corpus, *batch.key)]
            return super().training_step(batch, batch_idx)

    def fitted(epochs: int, ckpt=None):
        data = mix(places)
        task = task_of(data, mask=partial(Spans, ratio=0.5, span_s=0.2))
        task.__class__ = Notes
        fit = trainer(tmp_path, max_epochs=epochs)
        fit.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        return fit, task

    _, whole = fitted(3)
    fit, begun = fitted(1)
    fit.save_checkpoint(tmp_path / "one.ckpt")
    _, resumed = fitted(3, tmp_path / "one.ckpt")
    assert begun.seen + resumed.seen == whole.seen and len(whole.seen) == 3 * 9
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


# ---- what a run says of it -------------------------------------------------------------------------------------------


def test_facts_name_every_corpus_and_what_is_the_matter_with_one_shows(tmp_path, capsys):
    simulated = replace(SECOND, simulated=True)
    for benchmark in (FIRST, SECOND):
        write(benchmark, tmp_path / "raw" / benchmark.name)
    (tmp_path / "raw" / "first" / "Ra.edf").unlink()
    with pytest.raises(EegfmError, match=r"Ra(.|\n)*data\.corpora\.first\.<setting>="):
        mix(tmp_path, FIRST, simulated)
    data = ready(tmp_path, FIRST, simulated, own={"allow_partial": True})
    facts = data.provenance()
    assert (facts.title, facts.complete, facts.simulated) == ("First + Second", False, True)
    assert facts.census == {"train": [12, 24], "val": [6, 12], "test": [6, 12]}
    assert facts.missing == ["first: Ra"] and facts.subjects["val"] == ["first/d", "second/r"]
    assert facts.corpora["second"].fingerprint in facts.fingerprint
    assert facts.corpora["first"].corpora == {}
    assert (facts.which("complete", False), facts.which("simulated", True)) == (" (first)", " (second)")
    make_run(tmp_path / "runs" / "made", 0, benchmark=vars(facts))
    runs, _ = read_runs([tmp_path / "runs" / "made"])
    assert runs[0].result.benchmark == facts
    (group,), _ = group_runs(runs)
    said = " ".join(marks(group))
    assert "SIMULATED (second)" in said and "PARTIAL corpus (first): 8 of 9 subjects" in said
    show(group.first, group.runs[0].folder)
    printed = " ".join(capsys.readouterr().out.split())
    assert "SIMULATED (second)" in printed and "PARTIAL corpus (first)" in printed
    for name in ("first", "second"):
        assert f"{name}: tests@1, store {facts.corpora[name].fingerprint}" in printed


def test_another_division_and_a_part_of_one_corpus_are_told(places):
    facts = ready(places, split=KFold(fold=1, folds=4), own={"train_ratio": 0.5}).provenance()
    assert facts.split["name"] == "KFold"
    assert facts.split["train_ratio of first"] == facts.split["train_ratio of second"] == 0.5


# ---- through Hydra and the real command ------------------------------------------------------------------------------


def of_eegm2(*overrides: str):
    return composed("model=eegm2", *overrides)


def test_a_mix_is_spelled_in_three_ways_that_are_one():
    ways = (
        ["data=tuh"],
        ["data=mix", "data/corpora=[tuab,tuev]"],
        ["data=mix", "+data@data.corpora.tuab=tuab", "+data@data.corpora.tuev=tuev"],
    )
    plain = [OmegaConf.to_container(of_eegm2(*way), resolve=True) for way in ways]
    assert plain[0] == plain[1] == plain[2]
    data = build_data(of_eegm2(*ways[0]))
    assert isinstance(data, Mix) and data.spec.shape == (16, 1000) and data.spec.corpora == ("tuab", "tuev")
    assert make(of_eegm2("data=tuh").model, "model")(data.spec).n_channels == 16


def test_a_mix_is_named_by_what_makes_it_what_it_is():
    def name(*overrides: str) -> str:
        config = OmegaConf.to_container(of_eegm2("data=tuh", *overrides), resolve=True)
        assert isinstance(config, dict)
        return identity_hash({str(key): value for key, value in config.items()})

    base = name()
    for same in (
        "data.corpora.tuab.raw=/a",
        "data.corpora.tuev.cache=/b",
        "data.num_workers=2",
        "paths.raw=/c",
    ):
        assert name(same) == base, same
    for other in (
        "data.corpora.tuab.train_ratio=0.5",
        "data.corpora.tuev.benchmark.variant=published",
        "data.channels=common",
        "data/corpora=[tuab]",
        "data/corpora=[tuev,tuab]",
        "data.batch_size=32",
    ):
        assert name(other) != base, other


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=mix"], r"data/corpora=\[tuab,tuev\]"),
        (["data=mix", "data/corpora=[tuab,synthetic]"], "0 in common, too few"),
        (
            ["data=tuh", "data.corpora.tuab.train_ratio=half"],
            r"data\.corpora\.tuab\.train_ratio=half: a number",
        ),
        (["data=tuh", "data.corpora.tuab.benchmark.variant=x"], "'repaired' or 'published' is wanted"),
        (["data=tuh", "task=classify"], "names 0"),
        (["data=tuh", "task=probe"], "names 0"),
        (["data=tuh", "model=bandpower", "task=estimate"], "names 0"),
        (["data=tuh", "task.observe.every=1"], "no labels"),
    ],
)
def test_what_a_mix_cannot_is_a_sentence(overrides, sentence):
    config = of_eegm2(*overrides)
    with pytest.raises(EegfmError, match=sentence):
        spec = build_data(config).spec
        make(config.task, "task")(make(config.model, "model")(spec), spec)


def door(place: Path, name: str, *arguments: str) -> str:
    done = call(f"eegfm.{name}", *arguments, cwd=place, env=environment(COLUMNS="200"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


SMALL = ("model=eegm2", "model.width_scale=8", "task.scale=100.0", "trainer.accelerator=cpu")


@pytest.mark.slow
@pytest.mark.long
def test_from_pre_training_on_two_corpora_to_a_probe_on_one(tmp_path):
    """TUAB tests on a patient whom TUEV trains on: TUEV's windows of that patient are not trained on."""
    files = [
        *tuab.TABLE[:12],
        tuab.File("eval", "normal", "aaaaaaar"),
        tuab.File("eval", "abnormal", "aaaaaaby"),
    ]
    tuab.write(tmp_path / "data/raw/tuab", files, by_class=False)
    tuev.write(tmp_path / "data/raw/tuev", tuev.TABLE, variant="repaired")
    partial_ = [f"data.corpora.{name}.allow_partial=true" for name in ("tuab", "tuev")]
    assert "TUAB" in (said := door(tmp_path, "prepare", "data=tuh", *partial_)) and "TUEV" in said

    said = door(
        tmp_path, "train", *SMALL, "data=tuh", *partial_, "trainer.max_epochs=1", "task.loss.stft=0"
    )
    (run,) = (tmp_path / "runs" / "single").glob("eegm2-raw-tuh-*")
    result = read_result(run)
    facts = result.benchmark
    assert "PARTIAL corpus (tuab, tuev)" in said and "left out of tuev, train: " in said
    assert list(facts.corpora) == ["tuab", "tuev"]
    (gone,) = json.loads((run / "leakage.json").read_text())["left_out"]
    assert (gone["corpus"], gone["split"], gone["subjects"]) == ("tuev", "train", ["aaaaaaar"])
    assert "tuab/aaaaaaar" in facts.subjects["test"] and "tuev/aaaaaaar" not in facts.subjects["train"]
    (row,) = read_curves(run / "metrics.csv")
    for name in ("val/loss", "val/loss/tuab", "val/loss/tuev", "val/hidden_rmse_uv/tuev"):
        assert float(row[name]) > 0
    assert {"rmse_uv", "rmse_uv/tuab", "rmse_uv/tuev"} <= result.metrics["test"].keys()
    for name in ("reconstruction_tuab", "reconstruction_tuev", "error_by_channel", "loss_terms"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 5000
    door(tmp_path, "evaluate", f"run={run}")
    (again,) = run.glob("evaluations/test-*/reconstruction_test.csv")
    assert again.read_text() == (run / "reconstruction_test.csv").read_text()

    probe = ("data=tuab", "data.allow_partial=true", "task=probe", f"weights={run}", "task.layer=pool3")
    said = door(tmp_path, "train", *SMALL, *probe)
    (probed,) = (tmp_path / "runs" / "single").glob("eegm2-raw-tuab-*")
    started = read_result(probed).started_from
    assert started["weights"].startswith(str(run)) and started["left_out"] == []
    report = door(tmp_path, "report", "runs")
    assert "TUAB + TUEV" in report and "rmse_uv/tuab" not in report
