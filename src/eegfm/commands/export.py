"""`eegfm export runs/<run>`: export a trained model as a folder to share or to use elsewhere.

  eegfm export runs/<run> --to <folder>     write model.safetensors, config.json and README.md (the model card)
  eegfm export runs/<run> --torch --onnx    also write the model as programs: model.pt2 (torch.export), model.onnx
  eegfm export runs/<run> --adapter         also write the adapters of adapt=lora, dora or ia3 by themselves: adapter/
  eegfm export runs/<run> --push user/name  also push the folder to the Hugging Face hub (first: hf auth login)

eegfm.load("<folder>") or eegfm.load("hub:user/name", revision="<tag>") reads the folder as a torch module that takes
windows in microvolts. It reads a run folder too, without an export. If the model was trained on an encoder's vectors
and the encoder's weights are on this machine, the export includes the encoder. Otherwise, or with --tokens, the
exported model takes the encoder's vectors as input, and its card says so.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.support.parser import Parser


def main(argv: Sequence[str] | None = None) -> None:
    """Export a run; a mistake ends in one sentence."""
    options = _parser().parse_args(argv)
    place = Path(str(options.run).removeprefix("run="))
    folder = options.to or place / "export"
    try:
        export(
            place,
            folder,
            torch=options.torch,
            onnx=options.onnx,
            tokens=options.tokens,
            adapter=options.adapter,
            trust=options.trust,
        )
        if options.push:
            _push(folder, options.push)
    except EegfmError as error:
        sys.exit(str(error))


def _parser() -> Parser:
    parser = Parser(prog="eegfm export", description=__doc__)
    parser.add_argument("run", help="the folder of a finished run")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="the folder to write (default: export/ in the run folder)"
    )
    parser.add_argument("--torch", action="store_true", help="also write model.pt2, by torch.export")
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx")
    parser.add_argument(
        "--adapter", action="store_true", help="also write the adapters by themselves, as peft does"
    )
    parser.add_argument(
        "--tokens", action="store_true", help="leave the encoder out; the model then takes its vectors"
    )
    parser.add_argument(
        "--trust", action="append", default=[], metavar="MODULE",
        help="a module that the run's config may name beside those of conf/; a config can run anything in it",
    )  # fmt: skip
    parser.add_argument("--push", metavar="USER/NAME", help="also push the folder to the Hugging Face hub")
    return parser


def export(
    place: Path,
    folder: Path,
    *,
    torch: bool = False,
    onnx: bool = False,
    tokens: bool = False,
    adapter: bool = False,
    trust: Sequence[str] = (),
) -> None:
    """Write the folder, and print what is in it.

    Raises:
        EegfmError: `place` is no finished run, `folder` holds something else, or the model cannot be exported; or a
            program or the adapters cannot be written, after the rest was.
    """
    if not place.is_dir() or not (place / "config.yaml").is_file():
        raise EegfmError(
            f"{place} is no run: the folder of a finished run is wanted, runs/<experiment>/<name>. "
            "To list the runs: eegfm sweep status runs"
        )
    if folder.exists() and (not folder.is_dir() or _strangers(folder)):
        raise EegfmError(
            f"{folder} holds something other than an exported model. Name another folder: --to <folder>"
        )
    from eegfm.export import adapter as apart
    from eegfm.export.card import card
    from eegfm.export.described import ADAPTER, CARD, CONFIG, SUMS, WEIGHTS
    from eegfm.export.from_run import benchmarks_of, of_run
    from eegfm.export.model import Portable, read, tag_of, write
    from eegfm.runs.place import Place

    run = Place.of(place, trust)
    model = of_run(run, tokens=tokens)
    for name in (
        "model.skops",
        "model.pt2",
        "model.onnx",
        SUMS,
    ):  # those of an earlier export have other weights
        (folder / name).unlink(missing_ok=True)
    apart.remove(folder / ADAPTER)
    write(model, folder)
    model = read(folder, partial(Portable, trust=trust))  # as its users will read it
    programs, refused = _programs(model, folder, torch=torch, onnx=onnx)
    text = card(model, place, benchmarks_of(run), tag=tag_of(folder), programs=programs)
    (folder / CARD).write_text(text, encoding="utf-8")
    _write_sums(folder)
    size = (folder / WEIGHTS).stat().st_size / 1e6
    print(f"{folder}: {WEIGHTS} ({size:.1f} MB), {', '.join([CONFIG, CARD, *programs, SUMS])}")
    if model.config["encoder_left_out"]:
        print(f"without its encoder: {model.config['encoder_left_out']}")
    for name, description in programs.items():
        print(f"{name}: {description}")
    if adapter:
        try:
            apart.write(run, model, folder / ADAPTER)
        except EegfmError as error:
            refused.append(f"no {ADAPTER}/: {error}")
        else:
            size = (folder / ADAPTER / apart.PEFT_WEIGHTS).stat().st_size / 1e3
            print(
                f"{folder / ADAPTER}: {apart.PEFT_WEIGHTS} ({size:.0f} kB), {apart.PEFT_CONFIG}, {apart.REST}"
            )
    trusted = f", trust={[*trust]}" if trust else ""
    print(f'next        import eegfm; model = eegfm.load("{folder}"{trusted})')
    if refused:
        raise EegfmError("\n".join(refused))


def _write_sums(folder: Path) -> None:
    from eegfm.export.described import FILES, SUMS
    from eegfm.support.files import sha256_of, write_text

    there = [folder / name for name in FILES if name != SUMS and (folder / name).is_file()]
    write_text(folder / SUMS, "".join(f"{sha256_of(file)}  {file.name}\n" for file in there))


def _strangers(folder: Path) -> list[str]:
    """Names in a folder that no export writes."""
    from eegfm.export.described import ADAPTER, FILES

    return [path.name for path in folder.iterdir() if path.name not in (*FILES, ADAPTER)]


def _programs(model: Any, folder: Path, *, torch: bool, onnx: bool) -> tuple[dict[str, str], list[str]]:
    """Write the programs. Returns a description of each written file, and the reasons for those refused."""
    from eegfm.export.programs import BATCHES, exported, to_onnx, to_torch

    written: dict[str, str] = {}
    refused: list[str] = []
    program = None
    for name, wanted, work in (("model.pt2", torch, to_torch), ("model.onnx", onnx, to_onnx)):
        if not wanted:
            continue
        try:
            program = program or exported(model)
            worst = work(program, model, folder / name)
        except EegfmError as error:
            refused.append(f"no {name}: {error}")
            continue
        sizes = f"in batches of {' and '.join(map(str, BATCHES))} windows"
        held = (
            "not compared with the module, for want of onnxruntime"
            if worst is None
            else f"{sizes} equal to the module"
            if worst == 0
            else f"{sizes} within {worst:.1g} of the module's largest output"
        )
        how = (
            "`torch.export.load`, with torch alone"
            if name == "model.pt2"
            else 'ONNX, input "windows", output "output"'
        )
        written[name] = f"{how}; batches of any size, channels at their own places; {held}"
    return written, refused


def _push(folder: Path, name: str) -> None:
    from eegfm.export.from_run import the_hub

    commit, tag = the_hub().push(folder, name)
    print(f"pushed: {commit}")
    print(f'next        import eegfm; model = eegfm.load("hub:{name}", revision="{tag}")')


if __name__ == "__main__":
    main()
