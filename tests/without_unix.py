"""Train where Python lacks what only Unix has: locks of the kernel, USR1 and USR2, pread, a fork server.

Windows is not at hand; this shows that nothing of it is needed to import and to train, not that Windows works.
"""

import multiprocessing
import os
import signal
import sys
from enum import IntEnum

GONE = ("fcntl", "resource", "pwd", "grp", "termios")

if __name__ == "__main__":
    import lightning.pytorch  # noqa: F401  # other libraries have what they are built for
    import psutil  # noqa: F401

    for name in GONE:
        sys.modules[name] = None  # type: ignore[assignment]  # its import raises ImportError
    kept = {one.name: one.value for one in signal.Signals if one.name not in ("SIGUSR1", "SIGUSR2")}
    signal.Signals = IntEnum("Signals", kept)  # type: ignore[misc, assignment]
    for name in ("SIGUSR1", "SIGUSR2"):
        delattr(signal, name)
    for name in ("pread", "pwrite"):
        delattr(os, name)
    multiprocessing.get_all_start_methods = lambda: ["spawn"]

    from eegfm.train import main

    main()
    from eegfm.support import locks

    assert locks.fcntl is None
