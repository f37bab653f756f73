"""Of commands with flags of their own: a mistyped word gets one sentence, with what is near, and exit status 2."""

from importlib import import_module

import pytest

from eegfm.commands import COMMANDS

MISTYPED = [
    ("report --hlep", "--hlep: there is no --hlep. Did you mean --help?"),
    ("report runs --markdwon=x.md", "--markdwon: there is no --markdwon. Did you mean --markdown?"),
    (
        "report runs --against papr",
        "eegfm report: argument --against: invalid choice: 'papr' (choose from 'paper'). ",
    ),
    ("report", "eegfm report: the following arguments are required: PATH. `eegfm report --help` shows"),
    ("sweep statu runs/mine", "eegfm sweep statu: there is no statu. Did you mean status?"),
    (
        "sweep xyz",
        "eegfm sweep xyz: there is no xyz. There are: submit, status, collect, cancel.",
    ),
    ("sweep submit --paralel=4 seed=1", "--paralel: there is no --paralel. Did you mean --parallel?"),
    (
        "sweep submit --parallel x seed=1",
        "eegfm sweep submit: argument --parallel: invalid int value: 'x'.",
    ),
    ("sweep status runs/mine --parallel 4", "--parallel: there is no --parallel. There are: --help."),
    ("sweep status runs/mine runs/other", "eegfm sweep: unknown arguments: runs/other. "),
    ("sweep", "eegfm sweep: the following arguments are required: submit|status|collect|cancel."),
    ("export --onx", "--onx: there is no --onx. Did you mean --onnx?"),
    ("dashboard runs --wnadb", "--wnadb: there is no --wnadb. Did you mean --wandb?"),
    ("sync -x", "-x: there is no -x. There are: --entity, --help, --project."),
    ("doctor --jsno", "--jsno: there is no --jsno. Did you mean --json?"),
    ("doctor all", "eegfm doctor: unrecognized arguments: all. `eegfm doctor --help` shows what it takes."),
    ("completion --lien x", "--lien: there is no --lien. Did you mean --line?"),
    ("new here --replcae", "--replcae: there is no --replcae. Did you mean --replace?"),
]


@pytest.mark.parametrize(("typed", "sentence"), MISTYPED)
def test_a_mistyped_word_is_one_sentence(typed, sentence, capsys):
    command, *argv = typed.split()
    with pytest.raises(SystemExit) as ended:
        import_module(COMMANDS[command][0]).main(argv)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.replace("choose from paper", "choose from 'paper'").startswith(sentence)
    assert said.err.count("\n") == 1


def test_the_beginning_of_a_flag_and_what_stands_behind_two_dashes_are_taken(capsys):
    report = import_module(COMMANDS["report"][0])
    with pytest.raises(SystemExit, match="nowhere"):
        report.main(["--by-sub", "--", "--nowhere"])
