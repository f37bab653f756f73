"""The Hugging Face hub, through its library's mixin: `from_pretrained`, `save_pretrained`, `push_to_hub`.

Only the files of `eegfm export` are pushed and read. No code is.
"""

import re
import shutil
from pathlib import Path
from typing import Any, Self

from huggingface_hub import HfApi, ModelHubMixin, get_token, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from eegfm.contracts import EegfmError
from eegfm.export.described import CARD, CONFIG, FILES, WEIGHTS
from eegfm.export.model import Portable, read, tag_of, write

NAME = re.compile(r"[\w.-]+/[\w.-]+")


class OnHub(Portable, ModelHubMixin):
    """A `Portable` that can be pushed; one from an exported folder is pushed with all files of the export."""

    folder: Path | None = None

    def _save_pretrained(self, save_directory: Path) -> None:
        if self.folder is None:
            write(self, save_directory)
            return
        for name in FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, save_directory / name)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, revision: str | None, **options: Any) -> Self:
        folder = Path(model_id)
        if not folder.is_dir():
            known = ("cache_dir", "force_download", "local_files_only", "token")
            fetch = {name: options[name] for name in known if name in options}
            folder = Path(
                snapshot_download(
                    model_id, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD], **fetch
                )
            )
        model: Any = read(folder, cls)
        model.folder = folder
        return model


def from_hub(name: str, revision: str | None = None) -> Portable:
    """The model of a repository, "<user>/<name>", at a commit, tag or branch.

    Raises:
        EegfmError: the repository does not exist, or the hub cannot be reached.
    """
    if not NAME.fullmatch(name):
        raise EegfmError(f"hub:{name} is not a name on the hub. Type hub:<user>/<name>")
    try:
        # downloaded here, because from_pretrained would take a local folder of that name
        folder = snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = "" if revision is None else f" at {revision}"
        raise EegfmError(
            f"hub:{name}{at} could not be downloaded: {_first_line(error)}\nCheck the name and the network. "
            "For a private repository, type: hf auth login"
        ) from error
    return OnHub.from_pretrained(folder)


def push(folder: Path, name: str) -> tuple[str, str]:
    """Push an exported folder to <user>/<name>; returns the address of the commit, and the model's tag there.

    Raises:
        EegfmError: nobody is logged in, or the hub refuses or cannot be reached.
    """
    if not NAME.fullmatch(name):
        raise EegfmError(f"--push {name} is not a name on the hub. Type --push <user>/<name>")
    if get_token() is None:
        raise EegfmError(
            f"Nobody is logged in to Hugging Face, so nothing was pushed. Type: hf auth login (or set HF_TOKEN), and "
            f"repeat the command. The files to push are in {folder}."
        )
    tag = tag_of(folder)
    try:
        commit = OnHub.from_pretrained(folder).push_to_hub(name, commit_message=f"eegfm export, {tag}")
        HfApi().create_tag(name, tag=tag, revision=getattr(commit, "oid", None), exist_ok=True)
    except (HfHubHTTPError, OSError) as error:
        raise EegfmError(
            f"{name} was not pushed, or not tagged: {_first_line(error)}\nCheck the network, and whether this login "
            "may write there."
        ) from error
    return str(getattr(commit, "commit_url", commit)), tag


def _first_line(error: BaseException) -> str:
    """The first line of an error, or its class if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
