"""The functions of `eegfm weights`: the list of published files, and one of them fetched and held."""

import json
import os
from pathlib import Path
from typing import Any

import requests

from eegfm.commands.work.published_files import PublishedFile, chosen, published_files
from eegfm.contracts import EegfmError
from eegfm.data.preparing.download import receive
from eegfm.data.preparing.parts import bar_of
from eegfm.encoders.base import published_file
from eegfm.support.checksums import keep_sum, wanted_sums
from eegfm.support.files import sha256_of, write_json

FETCHED = "fetched.json"  # in a folder of weights: of each file the repository and the commit


def listed() -> str:
    """Every file: the option that uses it, size and licence, what it has seen, and where it is or will be."""
    lines = []
    for one in published_files():
        found = published_file(one.folder, one.repository, one.file, one.revision or "main")
        at = (
            f"here: {found}"
            if found
            else f"not here ({one.path}). Type: eegfm weights fetch {' '.join(one.words)}"
        )
        lines += [
            " ".join(one.words),
            f"  {one.about}; {one.repository} at {(one.revision or 'no fixed commit')[:15]}",
            f"  seen: {one.seen}",
            f"  use: {one.use}",
            f"  {at}",
        ]
    return "\n".join(lines)


def fetch(words: list[str]) -> str:
    """Fetch the file of an option into its folder; says what was done.

    Raises:
        EegfmError: no such option, no network, no such file there, or another file than the one that is held.
    """
    one = chosen(words)
    if one.path.is_file() and _is_held(one):
        return f"{one.path} is here already. Use it: {one.use}"
    revision = _held_commit(one) or one.revision
    revision, said = _download(one, revision)
    digest = sha256_of(_part(one, one.file))
    wanted = [one.sha256] if one.sha256 else wanted_sums(one.path) or ([said] if said else [])
    if wanted and digest not in wanted:
        _part(one, one.file).unlink()
        raise EegfmError(
            f"{one.repository} gave another {one.file} at {revision}: its SHA-256 is {digest}, wanted "
            f"{' or '.join(wanted)}. It was deleted, and nothing else in {one.folder} was changed."
        )
    for name in (*one.others, one.file):
        os.replace(_part(one, name), one.folder / name)
    keep_sum(one.path, digest)
    write_json(
        one.folder / FETCHED,
        {**_record(one), one.file: {"repository": one.repository, "revision": revision}},
    )
    return f"{one.path}: fetched at {revision}, SHA-256 {digest}, held from now on. Use it: {one.use}"


def _is_held(one: PublishedFile) -> bool:
    """Whether the file that is here has its sum; raises EegfmError if it has another."""
    wanted = wanted_sums(one.path) or ([one.sha256] if one.sha256 else [])
    digest = sha256_of(one.path)
    if wanted and digest not in wanted:
        raise EegfmError(
            f"{one.path} is not the published file: its SHA-256 is {digest}, wanted {' or '.join(wanted)}. Delete it "
            f"and type: eegfm weights fetch {' '.join(one.words)}"
        )
    if not wanted_sums(one.path):
        keep_sum(one.path, digest)  # put here by hand: held from now on
    return True


def _record(one: PublishedFile) -> dict[str, Any]:
    path = one.folder / FETCHED
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise EegfmError(f"{path} is damaged. Delete it, and type the command again.") from None


def _held_commit(one: PublishedFile) -> str | None:
    """The commit that was fetched first, where the option names none."""
    return _record(one).get(one.file, {}).get("revision")


def _download(one: PublishedFile, revision: str | None) -> tuple[str, str | None]:
    """The commit, and the SHA-256 that the hub says of the file, which lies in its part with those beside it.

    A cut download goes on.

    Raises:
        EegfmError: huggingface_hub is not installed, does not reach the hub, or finds no such file.
    """
    try:
        from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    except ImportError as error:
        raise EegfmError(
            f"eegfm weights fetch needs huggingface_hub ({error}). Type: pip install 'eegfm[hub]'\n"
            f"{_by_hand(one, revision)}"
        ) from error
    try:
        commit = revision or HfApi().model_info(one.repository).sha
        names = (*one.others, one.file)
        addresses = {name: hf_hub_url(one.repository, name, revision=commit) for name in names}
        said = get_hf_file_metadata(addresses[one.file]).etag or ""
        one.folder.mkdir(parents=True, exist_ok=True)
        # its own download of a file would start again in the next process: https://github.com/huggingface/huggingface_hub/pull/4228
        with requests.Session() as session, bar_of(True) as bar:
            for name, address in addresses.items():
                shown = bar.add_task(name, total=None, unit="kB")

                def report(new: int, have: int, total: int | None, shown: Any = shown) -> None:
                    bar.update(
                        shown, completed=have // 1000, total=None if total is None else total // 1000
                    )

                receive(session, address, _part(one, name), report)
    except (
        Exception
    ) as error:  # the hub's client has another transport in each version (requests, httpx), and its errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EegfmError(
            f"{one.file} of {one.repository} could not be fetched ({reason}). Type the command again: it goes on from "
            f"what is here.\n{_by_hand(one, revision)}"
        ) from error
    return str(commit), said if len(said) == 64 else None


def _part(one: PublishedFile, name: str) -> Path:
    return one.folder / f"{name}.part"


def _by_hand(one: PublishedFile, revision: str | None) -> str:
    beside = f", and {', '.join(one.others)} from there beside it" if one.others else ""
    return f"By hand: download\n  {one.url(revision)}\nas {one.path}{beside}."
