"""The walk of SAMBA: three montages pre-train one model, which then meets one of them as a classifier, and a probe."""

from importlib import import_module
from pathlib import Path

import pytest

from eegfm.runs.results import read_result
from tests.test_walk import door

pytestmark = pytest.mark.slow

CORPORA = ("mental_arithmetic", "physionet_mi", "eye_state")
QUICK = (
    "model.width_scale=8",
    "trainer.accelerator=cpu",
    "trainer.limit_train_batches=3",
    "trainer.max_epochs=1",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Small corpora in their own formats, and the pre-training on all of them."""
    place = tmp_path_factory.mktemp("samba")
    for name in CORPORA:
        corpus = import_module(f"tests.corpora.{name}").CORPORA[0]
        (place / "data" / "raw" / name).mkdir(parents=True)
        corpus.write(place / "data" / "raw" / name, corpus.table)
    partial = [f"data.corpora.{name}.allow_partial=true" for name in CORPORA]
    done = door(place, "train", "experiment=samba_pretrain_small", *partial, *QUICK)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def pretrained(place) -> Path:
    (folder,) = (place / "runs" / "samba_pretrain_small").iterdir()
    return folder


def test_one_model_is_trained_on_three_montages_and_says_what_it_sees_of_each(pretrained):
    result = read_result(pretrained)
    assert set(result.spatial) == set(CORPORA)
    for facts in result.spatial.values():
        assert 0 < facts["start"]["second"] < 1 and 0 < facts["end"]["second"] < 1
    assert set(result.benchmark.corpora) == set(CORPORA)
    for name in ("reconstruction_mental_arithmetic", "spatial_importance_eye_state"):
        assert (pretrained / "figures" / f"{name}.png").stat().st_size > 5000


def test_it_is_probed_and_fine_tuned_on_one_of_them_with_weights_of_all(place, pretrained):
    line = (
        "model=samba",
        "data=mental_arithmetic",
        "data.allow_partial=true",
        f"weights={pretrained}",
        *QUICK,
    )
    done = door(place, "train", "-m", "adapt=samba_probe,samba_finetune", *line)
    assert done.returncode == 0, done.stderr
    found = {
        read_result(path.parent).adapt: path.parent for path in place.glob("runs/single/*/result.json")
    }
    assert set(found) == {"samba_probe", "samba_finetune"}
    for folder in found.values():
        result = read_result(folder)
        assert place / result.started_from["weights"] == pretrained / "checkpoints" / "best.ckpt"
        assert 0 <= result.metrics["test"]["auroc"] <= 1
    done = door(place, "report", "runs/single")
    assert done.returncode == 0 and "samba_probe" in done.stdout
