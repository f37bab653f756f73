"""A file of weights costs what its size says: what torch itself would hang or swell at is a sentence, at once."""

import io
import pickle
import resource
import sys
import time
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.tasks import bounded
from eegfm.tasks.bounded import refuse_bomb
from eegfm.tasks.weights import read_checkpoint

STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n("
    + STORAGE % b"K\x04"
    + b"K\x00%s%s\x89ccollections\nOrderedDict\n)RtR"
)


def number(value: int) -> bytes:
    return b"\x8a\x0c" + value.to_bytes(12, "little", signed=True)


def entry(value: bytes) -> bytes:
    """A pickle of {"a": <value>}."""
    return b"\x80\x02}X\x01\x00\x00\x00a" + value + b"s."


def alike(n: int) -> bytes:
    """A dict of `n` numbers whose hashes are equal."""
    return b"}(" + b"".join(number(i * sys.hash_info.modulus) + b"K\x01" for i in range(n)) + b"u"


TUPLES = b"(K\x01\x85q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60)) + b"t"
LISTS = b"(" + b"]q\x00K\x01a" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60)) + b"t"
BOMBS = {
    "numbers of one hash as keys": entry(alike(60_000)),
    "numbers of one hash in a set": entry(
        b"cbuiltins\nset\n](" + b"".join(number(i * sys.hash_info.modulus) for i in range(60_000)) + b"e\x85R"
    ),
    "numbers of one hash in pairs": entry(
        b"ccollections\nOrderedDict\n]("
        + b"".join(number(i * sys.hash_info.modulus) + b"K\x01\x86" for i in range(60_000))
        + b"e\x85R"
    ),
    "a tuple of 2**60 as a key": b"\x80\x02}" + TUPLES + b"K\x01s.",
    "lists of lists of 2**60": entry(LISTS),
    "a list that holds itself": entry(b"]q\x00h\x00a"),
    "a thousand lists in a list": entry(b"]" * 1000 + b"a" * 999),
    "a tensor of 2**42 on four numbers": entry(TENSOR % (number(2**42) + b"\x85", b"K\x00\x85")),
    "a tensor of less than nothing": entry(TENSOR % (number(-1) + b"\x85", b"K\x00\x85")),
    "a storage of 2**33 bytes": entry(b"ctorch.storage\nUntypedStorage\n" + number(2**33) + b"\x85R"),
    "a tensor of 2**31, new": entry(b"ctorch\nFloatTensor\n" + number(2**31) + b"\x85\x81"),
    "a bytearray of 2**33": entry(b"cbuiltins\nbytearray\n" + number(2**33) + b"\x85R"),
    "ten thousand copies of a megabyte": entry(
        b"](c_codecs\nencode\nX" + (2**20).to_bytes(4, "little") + b"a" * 2**20
        + b"X\x06\x00\x00\x00latin1\x86q\x00R" + b"c_codecs\nencode\nh\x00R" * 10_000 + b"e"
    ),
    "another encoding": entry(b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00idna\x86R"),
    "a text of 2**31": entry(b"X" + (2**31).to_bytes(4, "little") + b"a"),
    "a hundred thousand lists": entry(b"(" + b"]" * 100_000 + b"t"),
    "ten million bytes of names": entry(b"(" + (b"X\x00\x40\x00\x00" + b"a" * 2**14) * 1000 + b"t"),
    "a frame": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b".",
}  # fmt: skip


def zipped(path: Path, pickled: bytes, *, method: int = zipfile.ZIP_STORED, numbers: int = 16) -> Path:
    """A file as torch saves it, with this pickle, and with a storage of these bytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (
            ("data.pkl", pickled),
            ("byteorder", b"little"),
            ("data/0", bytes(numbers)),
            ("version", b"3\n"),
        ):
            archive.writestr(f"best/{name}", content)
    return path


def refusal(path: Path) -> str:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(EegfmError) as caught:
        read_checkpoint(path)
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize("what", BOMBS)
def test_what_a_few_bytes_describe_without_end_is_no_checkpoint(what, tmp_path, monkeypatch):
    if (
        what == "a hundred thousand lists"
    ):  # without the minute that the tests' checks of types take with millions
        monkeypatch.setattr(bounded, "READS", 50_000)
    said = refusal(zipped(tmp_path / "best.ckpt", BOMBS[what]))
    assert "to do harm" in said or what in ("a frame", "a text of 2**31")


@pytest.mark.parametrize("what", ["a tuple of 2**60 as a key", "a bytearray of 2**33"])
def test_nor_in_a_file_from_before_torch_1_6(what, tmp_path):
    path = tmp_path / "best.pth"
    torch.save({"a": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    content, pickles = path.read_bytes(), io.BytesIO(path.read_bytes())
    for _ in range(3):
        pickle.load(pickles)
    path.write_bytes(content[: pickles.tell()] + BOMBS[what] + pickle.dumps(["0"], 2))
    assert "to do harm" in refusal(path)


def test_numbers_that_an_old_file_only_states_are_not_made_room_for(tmp_path):
    path = tmp_path / "best.pth"
    torch.save({"a": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"cpuq\x06K\x04N") == 1
    path.write_bytes(content.replace(b"cpuq\x06K\x04N", b"cpuq\x06" + number(2**31) + b"N"))
    assert "more bytes than it holds" in refusal(path)


def test_a_file_that_unpacks_to_more_than_it_is_is_not_read(tmp_path):
    good = entry(TENSOR % (b"K\x04\x85", b"K\x01\x85"))
    packed = zipped(tmp_path / "best.ckpt", good, method=zipfile.ZIP_DEFLATED, numbers=2**28)
    assert packed.stat().st_size < 2**20 and "compressed" in refusal(packed)
    twice = zipped(tmp_path / "twice.ckpt", good)
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("best/DATA.pkl", BOMBS["a bytearray of 2**33"])
    assert "two files of one name" in refusal(twice)
    assert read_checkpoint(zipped(tmp_path / "good.ckpt", good))["a"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("zipped", [True, False])
def test_what_honest_checkpoints_hold_is_read_as_before(zipped, tmp_path):
    """Parameters, tied weights, kinds of numbers, optimisers and schedules, and what Lightning keeps beside."""
    weight = torch.nn.Parameter(torch.randn(3, 4))
    optimizer = torch.optim.AdamW([weight])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 5])
    weight.grad = torch.ones(3, 4)
    optimizer.step()
    schedule.step()
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    held = {
        "state_dict": model.state_dict(),
        "parameter": weight,
        "tied": [weight.detach(), weight.detach().T, weight.detach()[:, 1:]],
        "kinds": [torch.zeros(2, dtype=kind) for kind in (
            torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex64,
        )],
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
        "empty": torch.zeros(0, 4),
        "plain": [None, True, 1.5, -3, 2**70, "é", b"\xff", bytearray(b"ab"), 1j, (1, (2,)), {1: "a", None: 2}],
        "named": [OrderedDict(a=1), Counter([1, 1]), {3, "a"}, torch.Size([2, 3]), torch.device("cpu"), torch.int8],
    }  # fmt: skip
    path = tmp_path / "best.ckpt"
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    refuse_bomb(path)
    found = read_checkpoint(path)
    same(found, torch.load(path, weights_only=True))
    assert found["tied"][0].data_ptr() == found["parameter"].data_ptr()


def same(found, wanted) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, torch.Tensor):
        assert found.dtype == wanted.dtype and torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        same([*found.values()], [*wanted.values()])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    else:
        assert found == wanted
