"""`eegfm export runs/<run>`: a trained model as a folder that stands on its own.

  eegfm export runs/<run> --to <folder>     model.safetensors, config.json, and README.md, its model card
  eegfm export runs/<run> --torch --onnx    also as programs: model.pt2 (torch.export) and model.onnx
  eegfm export runs/<run> --push user/name  and to the Hugging Face hub, where you are logged in (hf auth login)

Read it by  eegfm.load("<folder>")  or  eegfm.load("hub:user/name", revision="<tag>"): a torch module that takes
windows in microvolts. A run folder can be read in the same way, without exporting it. A model over an encoder takes
its encoder along, where the encoder's weights are here; else, or with --tokens, it takes the encoder's vectors, and
says so.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError


def main(argv: Sequence[str] | None = None) -> None:
    """Export a run."""
    options = _parser().parse_args(argv)
    place = Path(str(options.run).removeprefix("run="))
    folder = options.to or place / "export"
    try:
        export(place, folder, torch=options.torch, onnx=options.onnx, tokens=options.tokens)
        if options.push:
            _push(folder, options.push)
    except EegfmError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eegfm export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a finished run's folder")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where (the run's own folder, export/)")
    parser.add_argument("--torch", action="store_true", help="also model.pt2, by torch.export")
    parser.add_argument("--onnx", action="store_true", help="also model.onnx")
    parser.add_argument("--tokens", action="store_true", help="leave the encoder out")
    parser.add_argument("--push", metavar="USER/NAME", help="push the folder to the Hugging Face hub")
    return parser


def export(
    place: Path, folder: Path, *, torch: bool = False, onnx: bool = False, tokens: bool = False
) -> None:
    """Write the folder, and say what is in it.

    Raises:
        EegfmError: no finished run, no room for a folder, or a model that cannot be taken elsewhere; of a program that
            cannot be written it is said why, and the rest stands.
    """
    if not place.is_dir() or not (place / "config.yaml").is_file():
        raise EegfmError(
            f"No run at {place}: wanted the folder of a finished run, runs/<experiment>/<name>. "
            "eegfm sweep status runs  lists them."
        )
    if folder.exists() and (not folder.is_dir() or _strangers(folder)):
        raise EegfmError(
            f"{folder} is there and holds something else than an exported model. Name another: --to <folder>"
        )
    from eegfm.export.card import card
    from eegfm.export.described import CARD, CONFIG, WEIGHTS
    from eegfm.export.from_run import benchmarks_of, of_run
    from eegfm.export.model import read, tag_of, write

    model = of_run(place, tokens=tokens)
    for name in ("model.pt2", "model.onnx"):  # of an earlier export, whose weights were others
        (folder / name).unlink(missing_ok=True)
    write(model, folder)
    model = read(folder)  # what others will have
    programs, refused = _programs(model, folder, torch=torch, onnx=onnx)
    text = card(model, place, benchmarks_of(place), tag=tag_of(folder), programs=programs)
    (folder / CARD).write_text(text, encoding="utf-8")
    size = (folder / WEIGHTS).stat().st_size / 1e6
    print(f"{folder}: {WEIGHTS} ({size:.1f} MB), {', '.join([CONFIG, CARD, *programs])}")
    if model.config["encoder_left_out"]:
        print(f"without its encoder: {model.config['encoder_left_out']}")
    for name, said in programs.items():
        print(f"{name}: {said}")
    for sentence in refused:
        print(sentence)
    print(f'next        import eegfm; model = eegfm.load("{folder}")')


def _strangers(folder: Path) -> list[str]:
    """What lies in a folder that an export has not written."""
    from eegfm.export.described import FILES

    return [path.name for path in folder.iterdir() if path.name not in FILES]


def _programs(model: Any, folder: Path, *, torch: bool, onnx: bool) -> tuple[dict[str, str], list[str]]:
    """What was written, a sentence a file, and of what could not be, why."""
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
