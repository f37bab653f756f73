"""The Hugging Face hub, by its library's own mixin: `from_pretrained`, `save_pretrained`, `push_to_hub`.

Only the files of `eegfm export` go there and are read from there, and no code is.
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
    """A `Portable` that can be pushed. Read from an exported folder, it is pushed with all that lies there."""

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
        EegfmError: there is none, or the hub cannot be reached.
    """
    if not NAME.fullmatch(name):
        raise EegfmError(f"hub:{name}: <user>/<name> is wanted behind hub:")
    try:
        # fetched first: a local folder of that name is not meant
        folder = snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = "" if revision is None else f" at {revision}"
        raise EegfmError(
            f"hub:{name}{at} cannot be had: {_first(error)}\nIs the name right, and is there a network? "
            "For a private one: hf auth login"
        ) from error
    return OnHub.from_pretrained(folder)


def push(folder: Path, name: str) -> tuple[str, str]:
    """Push an exported folder to <user>/<name>; the commit's address, and the tag that this model has there.

    Raises:
        EegfmError: nobody is logged in, or the hub refuses or cannot be reached.
    """
    if not NAME.fullmatch(name):
        raise EegfmError(f"--push {name}: <user>/<name> is wanted.")
    if get_token() is None:
        raise EegfmError(
            f"Nobody is logged in to Hugging Face, so nothing was pushed. Type: hf auth login (or set HF_TOKEN), then "
            f"the same again. What would go there lies in {folder}."
        )
    tag = tag_of(folder)
    try:
        commit = OnHub.from_pretrained(folder).push_to_hub(name, commit_message=f"eegfm export, {tag}")
        HfApi().create_tag(name, tag=tag, revision=getattr(commit, "oid", None), exist_ok=True)
    except (HfHubHTTPError, OSError) as error:
        raise EegfmError(
            f"{name} was not pushed, or not tagged: {_first(error)}\nMay this login write there? Is there a network?"
        ) from error
    return str(getattr(commit, "commit_url", commit)), tag


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
