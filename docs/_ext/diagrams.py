"""The three systems as diagrams (SVG), with the widths of their modules; drawn whenever the site is built."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from made import write

from eegfm.models import eegm2, samba

INK, GREY = "#222222", "#777777"
PLAIN, FROZEN, MIX, READ, SPACE = "#F2F2F2", "#DDE8F3", "#D9EFE3", "#FCE5D4", "#F3E3EE"
WIDTH, HEIGHT = 168, 46  # of a box


class Box(NamedTuple):
    """A box with its upper left corner, lines of text and a colour."""

    x: float
    y: float
    lines: Sequence[str]
    colour: str = PLAIN
    width: float = WIDTH

    @property
    def height(self) -> float:
        return max(HEIGHT, 16 * len(self.lines) + 14)

    def svg(self) -> str:
        middle = self.y + self.height / 2 - 8 * (len(self.lines) - 1) + 4
        texts = [
            f'<text x="{self.x + self.width / 2}" y="{middle + 16 * n}" text-anchor="middle" '
            f'fill="{GREY if n else INK}">{escape(line)}</text>'
            for n, line in enumerate(self.lines)
        ]
        frame = (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="6" '
            f'fill="{self.colour}" stroke="{GREY}" stroke-width="0.8"/>'
        )
        return "\n".join([frame, *texts])


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """A line through points with a head at its end."""
    path = " ".join(f"{x},{y}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{INK}" marker-end="url(#head)"{dashes}/>'


def across(one: Box, other: Box, *, dashed: bool = False) -> str:
    """From the right side of a box to the left side of another, or the other way round."""
    if other.x > one.x:
        return arrow(
            (one.x + one.width, one.y + one.height / 2),
            (other.x - 2, other.y + other.height / 2),
            dashed=dashed,
        )
    return arrow((one.x, one.y + one.height / 2), (other.x + other.width + 2, other.y + other.height / 2))


def down(one: Box, other: Box) -> str:
    """From a box to one below or above it."""
    if other.y > one.y:
        return arrow((one.x + one.width / 2, one.y + one.height), (other.x + other.width / 2, other.y - 2))
    return arrow((one.x + one.width / 2, one.y), (other.x + other.width / 2, other.y + other.height + 2))


def note(x: float, y: float, text: str, *, colour: str = GREY) -> str:
    return f'<text x="{x}" y="{y}" font-size="11" fill="{colour}">{escape(text)}</text>'


def page(width: float, height: float, parts: Sequence[str]) -> str:
    """The whole drawing, on white: furo has a dark side as well."""
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12">',
            f'<defs>{head}</defs><rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def stamp() -> str:
    """A chain in two rows."""
    upper = [
        Box(10, 30, ["window", "[channel, time] µV"]),
        Box(208, 30, ["cut into seconds", "[channel, second, 200]"]),
        Box(406, 30, ["frozen encoder", "or log spectra"], FROZEN),
        Box(604, 30, ["tokens, normed", "[channel, second, E]"]),
    ]
    lower = [
        Box(604, 140, ["linear to 128", "+ token, channel, second"]),
        Box(406, 140, ["8 gated MLPs", "along seconds | channels"], MIX),
        Box(208, 140, ["attention pooling", "4 heads, 8 queries"], READ),
        Box(10, 140, ["linear head", "a logit a class"], READ),
    ]
    chain = [*upper, *lower]
    arrows = [
        down(one, other) if one.x == other.x else across(one, other) for one, other in pairwise(chain)
    ]
    notes = [
        note(406, 20, "never trained (stamp_lora: adapters inside)"),
        note(208, 208, "+ 0.1 x the mean token"),
        note(406, 208, "half of the features gates the other half"),
    ]
    return page(785, 220, [box.svg() for box in chain] + arrows + notes)


def unet(
    widths: Sequence[int],
    before: Sequence[str],
    middle: Sequence[str],
    behind: Sequence[str],
    look: str,
    reads: str,
) -> str:
    """The U-Net that EEGM2 and SAMBA share: three halvings of time, a bottleneck, three doublings, skips."""
    w1, w2, w3 = widths
    left, right = 30, 530
    space = SPACE if look == "spatial" else PLAIN
    entry = Box(left, 20, before, space)
    downs = [
        Box(left, 120, ["convolutions 1, 3, 7", f"linear, Mamba-2: [{w1}, T]"], MIX),
        Box(left + 50, 210, ["halve, convolution", f"[{w2}, T/2]"]),
        Box(left + 100, 300, ["halve, convolution", f"[{w3}, T/4]"]),
    ]
    bottom = [Box(left + 110, 400, ["halve", f"pool3: [{w3}, T/8]"], READ), Box(340, 400, middle, MIX)]
    ups = [
        Box(right - 100, 300, ["double, join, convolution", f"Mamba-2: [{w3}, T/4]"], MIX, 170),
        Box(right - 50, 210, ["double, join, convolution", f"Mamba-2: [{w2}, T/2]"], MIX, 170),
        Box(right, 120, ["double, join, convolution", f"[{w1}, T]"], PLAIN, 170),
    ]
    last = Box(right, 20, behind, space, 170)
    way = [entry, *downs, bottom[0]]
    arrows = [down(one, other) for one, other in pairwise(way)]
    arrows += [
        across(*bottom),
        down(bottom[1], ups[0]),
        down(ups[0], ups[1]),
        down(ups[1], ups[2]),
        down(ups[2], last),
    ]
    arrows += [across(one, other, dashed=True) for one, other in zip(downs, reversed(ups), strict=True)]
    notes = [note(300, 135, "skips at every rate"), note(left, 480, reads)]
    return page(720, 495, [box.svg() for box in [*way, bottom[1], *ups, last]] + arrows + notes)


def diagrams() -> None:
    """Write the three."""
    write("diagrams/stamp.svg", stamp())
    write(
        "diagrams/eegm2.svg",
        unet(
            eegm2.WIDTHS,
            ["window", "[channel, T]"],
            ["bottleneck", "linear, Mamba-2, linear"],
            ["convolution of 1", "[channel, T]"],
            "",
            "Read for a probe: pool3 (published), bottleneck (ours). Published fine-tuning: the flattened output.",
        ),
    )
    write(
        "diagrams/samba.svg",
        unet(
            samba.WIDTHS,
            ["spatial embedding", "channels -> places"],
            ["bottleneck", "differential Mamba-2"],
            ["convolution, then", "places -> channels (ours)"],
            "spatial",
            "Read for a probe: the decoder at half the rate (published), bottleneck (ours).",
        ),
    )
