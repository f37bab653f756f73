"""Examine whether W&B has a key."""

import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from eegfm.commands.examining.screen import Row, python

WANDB = ("api.wandb.ai", "api.forge.coreweave.com")  # the first up to wandb 0.30, the second since 0.31


def wandb() -> Iterator[Row]:
    """A row about the key of W&B's client. No server is asked."""
    mode, server = os.environ.get("WANDB_MODE"), os.environ.get("WANDB_BASE_URL")
    hosts = [urlsplit(server).netloc] if server else WANDB
    key = (
        "WANDB_API_KEY"
        if os.environ.get("WANDB_API_KEY")
        else "netrc"
        if any(map(_netrc_has, hosts))
        else None
    )
    facts = {"key": key, "WANDB_MODE": mode}
    found = "logger=wandb is offline unless logger.offline=false" + f"; WANDB_MODE={mode}" * bool(mode)
    if key:
        yield Row("logging", "W&B", f"{found}; a key in {key}", facts=facts)
    else:
        command = f"{python()} -m wandb login"
        yield Row("logging", "W&B", f"{found}; no key", "absent", command, facts)


def _netrc_has(host: str) -> bool:
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
