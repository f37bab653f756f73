"""The published files of weights that an option can use: where they lie, and what is known of them.

Encoders and CBraMod name their own. The files of braindecode are those of its documentation (1.8.1), and SAMBA's those
of its authors' cards; their commits, sizes and licences are not known here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from eegfm.config.schema import config_dir, configured_paths
from eegfm.config.signatures import arguments
from eegfm.contracts import EegfmError

SAFE = "model.safetensors"
NONE_KNOWN = "none of our benchmarks, as far as known"
BRAINDECODE = {  # model.name: its repositories under huggingface.co/braindecode
    "BENDR": ("braindecode-bendr",),
    "BIOT": ("biot-pretrained-prest-16chs", "biot-pretrained-shhs-prest-18chs", "biot-pretrained-six-datasets-18chs"),
    "CBraMod": ("cbramod-pretrained",),
    "CodeBrain": ("codebrain-pretrained",),
    "EEGDINO": ("eegdino-small-pretrained",),
    "EEGPT": ("eegpt-pretrained",),
    "Labram": ("labram-pretrained",),
    "SignalJEPA": ("signal-jepa", "signal-jepa_without-chans"),
}  # fmt: skip
SAMBA = {  # the authors' retrained models, 1.06 M parameters, 128 Hz: what their cards say of the data
    "Dcode-AI/SAMBA-2s": "windows of 2 s of Emotiv corpora, HBN, Muse and DICE",
    "Dcode-AI/SAMBA": "tuab (the model of 100 s; its card was not read in full)",
}


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of weights on the hub. `words` are the option that uses it, `use` what to type when it is here.

    `revision` is a commit, and `sha256` the file's; None where they are not known. `others` are small files that belong
    beside it.
    """

    words: tuple[str, ...]
    use: str
    repository: str
    revision: str | None
    file: str
    folder: Path
    about: str
    seen: str
    others: tuple[str, ...] = ()
    sha256: str | None = None

    @property
    def path(self) -> Path:
        return self.folder / self.file

    def url(self, revision: str | None = None) -> str:
        """The address of the file."""
        return f"https://huggingface.co/{self.repository}/resolve/{revision or self.revision or 'main'}/{self.file}"


def published_files() -> list[PublishedFile]:
    """All of them. Of an option with several sizes, the one that it takes itself comes first."""
    return [*_of_encoders(), _of_cbramod(), *_of_braindecode(), *_of_samba()]


def chosen(words: list[str]) -> PublishedFile:
    """The file of an option. Raises EegfmError if there is none, or several with nothing to prefer."""
    files = published_files()
    found = [one for one in files if {*words} <= {*one.words}]
    if len(found) > 1 and any(word.startswith("encoder=") for word in words):
        found = found[:1]
    if len(found) == 1:
        return found[0]
    choice = "\n".join("  eegfm weights fetch " + " ".join(one.words) for one in found or files)
    raise EegfmError(
        f"{' '.join(words)}: {'several files' if found else 'no published file'}. There are:\n{choice}"
    )


def _of_encoders() -> Iterator[PublishedFile]:
    from hydra.utils import get_object
    from omegaconf import OmegaConf

    for path in sorted((config_dir() / "encoder").glob("*.yaml")):
        root: Any = OmegaConf.create({"paths": configured_paths(), "encoder": OmegaConf.load(path)})
        if "weights" not in root.encoder:
            continue
        target, own = root.encoder._target_, root.encoder.get("size")
        sizes = [own, *(size for size in get_args((arguments(target) or {}).get("size")) if size != own)]
        for size in sizes:
            if size is not None:
                root.encoder.size = size
            values: Any = OmegaConf.to_container(root.encoder, resolve=True)
            seen, folder = values.pop("seen"), Path(values["weights"])
            values.pop("_target_")
            encoder: Any = get_object(target)(**{**values, "weights": "random"})  # builds no network
            words = (f"encoder={path.stem}", *([f"encoder.size={size}"] if size else []))
            yield PublishedFile(
                words=words,
                use=" ".join(words),
                repository=encoder.repository,
                revision=_commit(encoder.revision),
                file=encoder.file,
                folder=folder,
                about=encoder.about.partition("; ")[0],
                seen=_said(seen),
                others=("config.json",) if "config.json" in encoder.about else (),
            )


def _of_cbramod() -> PublishedFile:
    from hydra.utils import get_object

    node = _model("cbramod")
    model: Any = get_object(node["model"]["_target_"])
    return PublishedFile(
        words=("model=cbramod",),
        use="model=cbramod weights=published",
        repository=model.repository,
        revision=model.revision,
        file=model.file,
        folder=_weights() / "cbramod",
        about=model.about,
        seen=_said(node["seen"]),
        sha256=model.sha256,
    )


def _of_braindecode() -> Iterator[PublishedFile]:
    seen = _model("braindecode")["seen"]
    for name, repositories in BRAINDECODE.items():
        for one in repositories:
            folder = _weights() / "braindecode" / one
            words = (
                "model=braindecode",
                f"model.name={name}",
                *([f"repository={one}"] if len(repositories) > 1 else []),
            )
            yield PublishedFile(
                words=words,
                use=f"model=braindecode model.name={name} weights={folder / SAFE}",
                repository=f"braindecode/{one}",
                revision=None,
                file=SAFE,
                folder=folder,
                about="size and licence: see its card",
                seen=_said(seen.get(name, {})),
                others=("config.json",),
            )


def _of_samba() -> Iterator[PublishedFile]:
    for repository, seen in SAMBA.items():
        name = repository.rpartition("/")[2]
        folder = _weights() / "samba" / name
        yield PublishedFile(
            words=("model=samba", f"repository={name}"),
            use=f"adapt=samba_published_probe weights={folder / SAFE}",
            repository=repository,
            revision=None,
            file=SAFE,
            folder=folder,
            about="about 4.2 MB (1.06 M numbers), licence: see its card",
            seen=seen,
            others=("config.json",),
        )


def _model(name: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{name}.yaml"), resolve=False)


def _weights() -> Path:
    return Path(configured_paths()["weights"])


def _commit(revision: str) -> str | None:
    return revision if len(revision) == 40 else None


def _said(seen: Mapping[str, Any]) -> str:
    return ", ".join(seen) or NONE_KNOWN
