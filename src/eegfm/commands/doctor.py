"""`eegfm doctor`: show what this machine has, how it will compute each model, and the commands that repair faults.

The exit status is 1 if something required is missing or broken. The command downloads nothing and uses no network.
`--json` prints the same facts for a bug report, without home folder, user name or keys.

It must work on a broken installation. So this file imports only the standard library, each package is imported where
it is examined, and the screen is plain text. Required packages with compiled parts are imported; the others, some of
which take seconds to load, are only searched for.
"""

from collections.abc import Sequence
from importlib import import_module

from eegfm.commands.examining.screen import Row, as_json, as_text, first_line
from eegfm.support.parser import Parser

SECTIONS = {  # section: (module, function), in the screen's order. Each is imported alone: its packages may be missing
    "machine": ("machine", "machine"),
    "packages": ("packages", "packages"),
    "folders": ("machine", "folders"),
    "torch": ("gpus", "torch_and_gpus"),
    "kernels": ("gpus", "kernels"),
    "models": ("models", "models"),
    "encoders": ("models", "encoders"),
    "logging": ("wandb", "wandb"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print what was found, on screen or as JSON."""
    parser = Parser(prog="eegfm doctor", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--json", action="store_true", help="print the same facts as JSON, for a bug report"
    )
    options = parser.parse_args(argv)
    rows = examine()
    print(as_json(rows) if options.json else as_text(rows))
    if any(row.verdict == "off" for row in rows):
        raise SystemExit(1)


def examine() -> list[Row]:
    """The rows of all sections, in the screen's order."""
    rows: list[Row] = []
    for section, (module, function) in SECTIONS.items():
        try:
            look = getattr(import_module(f"eegfm.commands.examining.{module}"), function)
            rows.extend(look())
        except Exception as error:  # one broken section must not hide the others
            found = f"cannot be looked at ({type(error).__name__}: {first_line(error)})"
            known = any(row.verdict == "off" for row in rows)
            report = "eegfm doctor --json  (and report what it prints: this should not happen)"
            remedy = "Repair the packages above first." if known else report
            rows.append(Row(section, section, found, "off", remedy))
    return rows


if __name__ == "__main__":
    main()
