"""The layout of SAMBA's reference (github.com/Jiazhen-Hong/SAMBA, no licence: read for names and shapes, not copied).

Its state dict has 204 tensors, or 28 without Mamba. The bottleneck's 16 small Mamba-2 are single modules there, and
stacked here (see `eegfm.nn.diff_mamba`); other tensors differ by name alone.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from eegfm.contracts import EegfmError
from eegfm.nn.diff_mamba import TEAMS

# three RMS norms that the reference never calls
DEAD = ("encoder1.1.norm.weight", "decodeMamba3.norm.weight", "decodeMamba2.norm.weight")
ITS_OWN = (
    "saie.",
    "decodeMamba",
    "onput_embedding.",
    "output_layer.",
)  # how keys begin there and nowhere here
NAMED = 5  # tensors that a message names of each kind

_RENAMED = (  # a pattern in the reference's key, and our name
    (r"^saie\.", "spatial."),
    (r"^decodeMamba(?=[23]\.)", "mixer"),
    (r"^(?:onput_embedding|output_layer)\.", "output_embedding."),
    (r"(?<=\.)mamba\.", "mix."),
    (r"^bottleneck\.1\.block\.lam$", "bottleneck.1.networks.out_proj.lam"),
    (r"^bottleneck\.1\.block\.", "bottleneck.1."),
    # the ablation without Mamba; its first number is that of the convolution in Conv-ReLU
    (r"^(encoder1|bottleneck)\.0\.(?=\w+#conv)", r"\1.conv."),
    (r"^((?:en|de)coder[123])\.0\.(?=\w+#conv)", r"\1."),
)
_PLACE = re.compile(
    r"(spatial|input_embedding|encoder[123]|bottleneck|decoder[123]|mixer[23]|output_embedding)\."
)
_TEAM = re.compile(r"bottleneck\.1\.block\.team([12])\.(\d+)\.(.+)")
_NORM = re.compile(r"bottleneck\.1\.block\.head_norms\.(\d+)\.(weight|bias)")


def from_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of the reference, 204 tensors or 28 without Mamba, to ours.

    The result fits a Samba with look, head, lam and norm "published" and the same number of channels. The
    bottleneck's 16 small Mamba-2 are stacked (see `eegfm.nn.diff_mamba`), other tensors are renamed, and
    tensors that the reference never uses (`DEAD`) are left out. Raises EegfmError if a key is not of this
    layout, or if one of the 16 is absent.
    """
    found: dict[str, Tensor] = {}
    units: dict[str, dict[tuple[int, int], Tensor]] = {}
    norms: dict[str, dict[int, Tensor]] = {}
    convolutional = "encoder2.0.weight" in state
    unknown = []
    for key, tensor in state.items():
        if key in DEAD:
            continue
        if team := _TEAM.fullmatch(key):
            units.setdefault(team[3], {})[int(team[1]) - 1, int(team[2])] = tensor
        elif norm := _NORM.fullmatch(key):
            norms.setdefault(norm[2], {})[int(norm[1])] = tensor
        else:
            ours = key + "#conv" * convolutional
            for pattern, name in _RENAMED:
                ours = re.sub(pattern, name, ours)
            ours = ours.removesuffix("#conv")
            if not _PLACE.match(ours):
                unknown.append(key)
            found[ours] = tensor
    if unknown or (not convolutional and not units):
        first = f", first {unknown[0]!r}" if unknown else ""
        raise EegfmError(
            f"Not a state dict of the SAMBA reference: {len(unknown)} of its {len(state)} keys have no place here"
            f"{first}. from_reference reads what torch.save(model.state_dict()) wrote there."
        )
    for name, tensors in units.items():
        order = [(team, head) for team in range(TEAMS) for head in range(len(tensors) // TEAMS)]
        if set(order) != set(tensors):
            raise EegfmError(
                f"Not a whole SAMBA: {name} is there for {len(tensors)} networks of the bottleneck, not for two teams "
                "of as many heads."
            )
        d_inner = len(units["norm.weight"][0, 0])
        found[f"bottleneck.1.networks.{name}"] = _stacked(name, [tensors[key] for key in order], d_inner)
    for name, tensors in norms.items():
        found[f"bottleneck.1.norm.{name}"] = torch.cat([tensors[i] for i in sorted(tensors)])
    return found


def _stacked(name: str, tensors: list[Tensor], d_inner: int) -> Tensor:
    """One tensor for all networks of the bottleneck."""
    if name in ("in_proj.weight", "out_proj.weight"):
        return torch.stack(tensors)
    if not name.startswith("conv1d."):
        return torch.cat(tensors)
    # the reference has x, B, C of each network; we have x of all networks, then B, then C
    n = (len(tensors[0]) - d_inner) // 2
    parts = zip(*(t.split((d_inner, n, n)) for t in tensors), strict=True)
    return torch.cat([torch.cat(part) for part in parts])


_NAMED_BACK = (  # a pattern in our key, and the reference's name
    (r"^spatial\.", "saie."),
    (r"^mixer(?=[23]\.)", "decodeMamba"),
    (r"(?<=\.)mix\.", "mamba."),
    (r"^bottleneck\.1\.networks\.out_proj\.lam$", "bottleneck.1.block.lam"),
    (r"^bottleneck\.1\.(?=out_proj\.)", "bottleneck.1.block."),
    (r"^output_embedding\.", "onput_embedding."),
)
_NAMED_BACK_CONVOLUTIONAL = (
    (r"^spatial\.", "saie."),
    (r"^(encoder1|bottleneck)\.conv\.", r"\1.0."),
    (r"^(encoder[23]|decoder[123])\.", r"\1.0."),
    (r"^output_embedding\.", "output_layer."),
)
_UNIT = re.compile(r"bottleneck\.1\.networks\.(?!out_proj\.lam)(.+)")
_NORM_BACK = re.compile(r"bottleneck\.1\.norm\.(weight|bias)")


def to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_reference`, without the tensors that the reference never uses.

    A tensor that only another Samba than the published one has keeps its name.
    """
    convolutional = "encoder1.conv.weight" in state
    renamed = _NAMED_BACK_CONVOLUTIONAL if convolutional else _NAMED_BACK
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if unit := _UNIT.fullmatch(key):
            n_networks = len(state["bottleneck.1.networks.in_proj.weight"])
            for i, part in enumerate(_apart(unit[1], tensor, n_networks, state)):
                team, head = divmod(i, n_networks // TEAMS)
                found[f"bottleneck.1.block.team{team + 1}.{head}.{unit[1]}"] = part
        elif norm := _NORM_BACK.fullmatch(key):
            n_heads = len(state["bottleneck.1.networks.in_proj.weight"]) // TEAMS
            for i, part in enumerate(tensor.chunk(n_heads)):
                found[f"bottleneck.1.block.head_norms.{i}.{norm[1]}"] = part
        else:
            for pattern, name in renamed:
                key = re.sub(pattern, name, key)
            found[key] = tensor
    return found


def read_published(
    state: Mapping[str, Tensor], ours: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A file's tensors in our layout, and the names of those that it has and nobody uses.

    `ours` are the tensors of the Samba that they are for. A file of another layout is taken as it is. "model." or
    "module." before all names is left out, as in the reference.

    Raises:
        EegfmError: the names and shapes are not all those of the reference's layout for this Samba.
    """
    for prefix in ("model.", "module."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    if not any(key.startswith(ITS_OWN) for key in state):
        return dict(state), []
    wanted = {key: tuple(tensor.shape) for key, tensor in to_reference(ours).items()}
    given = {key: tuple(tensor.shape) for key, tensor in state.items() if key not in DEAD}
    faults = {
        "missing": [key for key in wanted if key not in given],
        "not known": [key for key in given if key not in wanted],
        "of another shape": [
            f"{key} {given[key]}, wanted {wanted[key]}"
            for key in wanted
            if key in given and given[key] != wanted[key]
        ],
    }
    said = [
        f"{len(names)} {fault}: {'; '.join(names[:NAMED])}{'; ...' * (len(names) > NAMED)}"
        for fault, names in faults.items()
        if names
    ]
    if said:
        raise EegfmError(
            f"of the {len(given)} tensors, by the names of SAMBA's reference, {', and '.join(said)}. They load into "
            "the published Samba, with data of the channels that they were trained on: adapt=samba_published_probe or "
            "adapt=samba_published_finetune"
        )
    return from_reference(state), [key for key in DEAD if key in state]


def _apart(name: str, tensor: Tensor, n_networks: int, state: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """The tensors of the single networks: the inverse of `_stacked`."""
    if name in ("in_proj.weight", "out_proj.weight"):
        yield from tensor
    elif not name.startswith("conv1d."):
        yield from tensor.chunk(n_networks)
    else:
        d_inner = len(state["bottleneck.1.networks.norm.weight"])
        n = (len(tensor) - d_inner) // 2
        parts = [part.chunk(n_networks) for part in tensor.split((d_inner, n, n))]
        yield from (torch.cat(part) for part in zip(*parts, strict=True))
