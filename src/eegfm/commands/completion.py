"""`eval "$(eegfm completion)"`: makes bash complete the commands, options and keys of `eegfm` and `python -m eegfm`.

  eegfm train mod<TAB>             model=  model.
  eegfm train model=st<TAB>        model=stamp  model=stamp_lora
  eegfm train model=eegm2 model.wi<TAB>     model.width_scale=

The words already on the line choose the config, so the keys are those of the chosen model. Put the command into
~/.bashrc to have completion in every shell.
"""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.commands import COMMANDS
from eegfm.config.options import PARTS
from eegfm.config.own import found_here, searchpath
from eegfm.config.schema import config_dir, register
from eegfm.support.parser import Parser

SCRIPT = """\
_eegfm()
{
    # readline splits the line at = and :, and replaces only the text behind the last of them
    local line="${COMP_LINE:0:COMP_POINT}" word before
    word="${line##* }"
    mapfile -t COMPREPLY < <(eegfm completion --line "$line" 2> /dev/null)
    before="${word%"${word##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    # after "key=" or "key." no space follows; anything else is a whole word
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" != *[=.] ]] && compopt +o nospace
}
complete -o nospace -o default -F _eegfm eegfm
# python has no completion of its own, unless bash-completion has one
complete -p python &> /dev/null || complete -o nospace -o default -F _eegfm python python3
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the script that bash evaluates, or the completions of a line."""
    parser = Parser(prog="eegfm completion", description=__doc__)
    parser.add_argument("--line", help="print the completions of this command line, for bash itself")
    line = parser.parse_args(argv).line
    for text in [SCRIPT] if line is None else candidates(line):
        print(text)


def candidates(line: str) -> list[str]:
    """The completions of the last word of a command line, sorted."""
    *before, word = line.split(" ")
    match [text for text in before if text]:
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
    own = found_here()
    register(own)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        settings = [*searchpath(own), *(text for text in given if "=" in text)]
        completions = _options(command, word, settings) if "=" in word else _names(command, word, settings)
    return sorted(text for text in completions if text.startswith(word))


def _options(command: str, word: str, settings: Sequence[str]) -> list[str]:
    """The group of `word` with each of its options; also those of a subfolder, as data=published/tuev."""
    group = word.partition("=")[0]
    loader = GlobalHydra.instance().config_loader()
    searched = [text for text in settings if text.startswith("hydra.searchpath=")]

    def inside(group: str, kind: ObjectType) -> list[str]:
        return loader.get_group_options(group, kind, command, searched)

    folders = ["", *(f"{name}/" for name in inside(group, ObjectType.GROUP) if name not in PARTS)]
    return [
        f"{group}={folder}{option}"
        for folder in folders
        for option in inside(f"{group}/{folder}".rstrip("/"), ObjectType.CONFIG)
    ]


def _names(command: str, word: str, settings: Sequence[str]) -> list[str]:
    """The config groups, and the keys below the node that `word` names up to its last dot."""
    try:
        config = compose(command, [*settings], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):  # the line is unfinished or wrong
        config = compose(command, return_hydra_config=True)
    groups = [
        group
        for group in config.hydra.runtime.choices
        if not group.startswith("hydra/") and "@" not in group
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
