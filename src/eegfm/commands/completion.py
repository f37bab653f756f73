"""`eval "$(eegfm completion)"`: bash completes commands, options and keys of `eegfm` and of `python -m eegfm.train`.

  eegfm train mod<TAB>             model=  model.
  eegfm train model=st<TAB>        model=stamp  model=stamp_lora
  eegfm train model=eegm2 model.wi<TAB>     model.width_scale=

It composes the config of what stands on the line already, so that the keys are those of the chosen model.
"""

import argparse
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.commands import COMMANDS
from eegfm.config.schema import config_dir, register

SCRIPT = """\
_eegfm()
{
    # readline has broken the line at = and :, and replaces what stands behind the last of these alone
    local line="${COMP_LINE:0:COMP_POINT}" word found
    word="${line##* }"
    mapfile -t COMPREPLY < <(eegfm completion --line "$line" 2> /dev/null)
    found="${word%"${word##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$found"}")
    # a key goes on behind its = or its dot; anything else is a whole word
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" != *[=.] ]] && compopt +o nospace
}
complete -o nospace -o default -F _eegfm eegfm
# python has no completion of its own, unless bash-completion has one
complete -p python &> /dev/null || complete -o nospace -o default -F _eegfm python python3
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the script that bash evaluates, or the completions of a line."""
    parser = argparse.ArgumentParser(
        prog="eegfm completion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--line", help="what stands before the cursor: print what can follow")
    line = parser.parse_args(argv).line
    for text in [SCRIPT] if line is None else candidates(line):
        print(text)


def candidates(line: str) -> list[str]:
    """The words that the last word of a command line can become, sorted."""
    *before, word = line.split(" ")
    words = [one for one in before if one]
    match words:
        case ["python" | "python3", "-m", "eegfm", *given]:
            pass
        case ["python" | "python3", "-m", module, *given] if module.startswith("eegfm."):
            given = [module.rpartition(".")[2], *given]
        case ["python" | "python3", *_]:
            return []
        case [_, *given]:
            pass
        case _:
            return []
    if not given:
        return sorted(name for name in COMMANDS if name.startswith(word))
    command = "train" if given[:2] == ["sweep", "submit"] else given[0]
    if word.startswith("-") or not (config_dir() / f"{command}.yaml").is_file():
        return []
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        found = (
            _options(word) if "=" in word else _names(command, word, [one for one in given if "=" in one])
        )
    return sorted(one for one in found if one.startswith(word))


def _options(word: str) -> list[str]:
    """A group with every option; `data=published/tuev` among them."""
    group = word.partition("=")[0]
    loader = GlobalHydra.instance().config_loader()
    folders = [
        "",
        *(f"{one}/" for one in loader.get_group_options(group, ObjectType.GROUP) if one == "published"),
    ]
    return [
        f"{group}={folder}{option}"
        for folder in folders
        for option in loader.get_group_options(f"{group}/{folder}".rstrip("/"), ObjectType.CONFIG)
    ]


def _names(command: str, word: str, given: Sequence[str]) -> list[str]:
    """Groups and keys, one step beyond the last dot of the word."""
    try:
        config = compose(command, [*given], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):  # what is on the line is not finished, or wrong
        config = compose(command, return_hydra_config=True)
    groups = [
        one for one in config.hydra.runtime.choices if not one.startswith("hydra/") and "@" not in one
    ]
    node = OmegaConf.to_container(config)
    before, dot, _ = word.rpartition(".")
    for part in before.split(".") if before else []:
        node = node.get(part) if isinstance(node, dict) else None
    inside = node.items() if isinstance(node, dict) else ()
    keys = [
        f"{before}{dot}{key}" + ("." if isinstance(value, dict) else "=")
        for key, value in inside
        if not str(key).startswith("_") and key != "hydra"
    ]
    return [*keys, *(f"{group}=" for group in groups)]


if __name__ == "__main__":
    main()
