"""`python -m eegfm.prepare data=<benchmark> [encoder=<encoder>]`: make the store ahead of training."""

from omegaconf import DictConfig

from eegfm.build import build_data, door


@door("prepare")
def main(config: DictConfig) -> None:
    from rich.console import Console

    data = build_data(config)
    data.prepare_data()
    data.open()
    facts = data.provenance()
    counts = {split: f"{sum(classes):,} windows {classes}" for split, classes in facts["census"].items()}
    used = len({subject for subjects in facts["subjects"].values() for subject in subjects})
    console = Console(highlight=False)
    console.print(f"[bold]{facts['title']}[/] ({facts['protocol']}) is prepared: {facts['store']}")
    for split, text in counts.items():
        console.print(f"  {split:<6}{text}, {len(facts['subjects'][split])} subjects")
    if not facts["complete"]:
        console.print(f"  [yellow]PARTIAL: {used} of {facts['subjects_total']} subjects[/]")
    if facts["simulated"]:
        console.print("  [yellow]SIMULATED: no person was recorded[/]")


if __name__ == "__main__":
    main()
