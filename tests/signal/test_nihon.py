"""Nihon Kohden files, written by hand after MNE's reader of them, since no such recording is open."""

import struct

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import beside, open_any

DEVICE = b"EEG-1100C V01.00"
SFREQ = 200
STEP_UV = (3199.902 + 3200) / 65535
DIGITS = np.random.default_rng(0).integers(-2000, 2000, (2, 10 * SFREQ))
NAMES = {2: "F3", 7: "P4"}  # numbers of the amplifier's inputs


def write(path, *, lengths_s=(10,), electrodes=True, log=(("go", 3),)):
    """A file of blocks, which follow one another without a word on the time between them."""
    head = bytearray(0x1800)
    head[0:16] = head[0x81:0x91] = DEVICE
    head[0x17FE] = 1
    head[0x91] = 1
    struct.pack_into("<I", head, 0x92, 0x400)
    head[0x400 + 17] = len(lengths_s)
    content, first = b"", 0
    for i, length_s in enumerate(lengths_s):
        struct.pack_into("<I", head, 0x400 + 18 + 20 * i, len(head) + len(content))
        block = bytearray(0x27 + 10 * len(NAMES))
        struct.pack_into("<HI", block, 0x1A, SFREQ, 10 * length_s)
        block[0x26] = len(NAMES)
        for row, number in enumerate(NAMES):
            block[0x27 + 10 * row] = number
        part = DIGITS[:, first : first + length_s * SFREQ]
        first += length_s * SFREQ
        samples = np.vstack([part, np.zeros((1, part.shape[1]), int)]) + 0x8000
        content += bytes(block) + samples.T.astype("<u2").tobytes()
    path.write_bytes(bytes(head) + content)
    if electrodes:
        names = "\n".join(f"{number:04d}={name}" for number, name in {**NAMES, 2: "Fp1"}.items())
        path.with_suffix(".21E").write_text(f"[ELECTRODE]\n{names}\n")
    if log:
        text = bytearray(0x200 + 45 * len(log))
        text[0:16] = DEVICE
        text[0x91] = 1
        struct.pack_into("<I", text, 0x92, 0x100)
        text[0x101:0x111] = DEVICE
        text[0x112] = len(log)
        for i, (name, second) in enumerate(log):
            entry = name.encode().ljust(20, b"\0") + f"{second:06d}".encode()
            text[0x114 + 45 * i : 0x114 + 45 * i + len(entry)] = entry
        path.with_suffix(".LOG").write_bytes(bytes(text))
    return path


def test_digits_names_and_events_come_back(tmp_path):
    path = write(tmp_path / "a.EEG")
    found = open_any(path)
    assert found.format == "Nihon Kohden" and found.names == ["Fp1", "P4"]
    recording = found.recording(["P4", "Fp1"])
    np.testing.assert_allclose(recording.data, DIGITS[::-1] * STEP_UV, rtol=0, atol=1.01 * STEP_UV)
    assert [(e.onset_s, e.description) for e in recording.events] == [(3.0, "go")]
    assert found.beside == beside(path) == (tmp_path / "a.21E", tmp_path / "a.LOG")
    assert len(recording.pieces) == 1


def test_blocks_are_pieces(tmp_path):
    recording = open_any(write(tmp_path / "a.eeg", lengths_s=(4, 6))).recording(["Fp1"])
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (800, 4.0)]
    np.testing.assert_allclose(recording.data[0], DIGITS[0] * STEP_UV, rtol=0, atol=1.01 * STEP_UV)


def test_names_and_events_that_are_missing_are_told(tmp_path):
    found = open_any(write(tmp_path / "a.eeg", electrodes=False, log=()))
    assert found.names == ["F3", "P4"]  # the amplifier's own
    said = " ".join(found.notes)
    assert "Default channel names are chosen" in said and "No LOG file exists" in said
    assert found.beside == ()


def test_a_file_that_was_cut_is_refused(tmp_path):
    path = write(tmp_path / "a.eeg")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(EegfmError, match=r"a\.eeg cannot be read as Nihon Kohden"):
        open_any(path)
