"""The real command line, without the seconds that its imports take.

`call` and `start` do what `subprocess.run` and `subprocess.Popen` do with `python -m <module> <arguments>`, and `shell`
what a person's shell does with a line in which `eegfm` is called. The process is a real one: it has its own working
directory, environment, output, signals and exit status, and no state of the test. But Python does not start anew: the
process is forked from a parent that has imported eegfm and its libraries. Every process of pytest has one such parent,
which imports and forks, and computes nothing.

`call_afresh` and `start_afresh` start Python anew. They are for what an import or the start itself decides: one test of
every command, variables read while Python or a library starts (PYTHON*, HF_HOME), peak memory, several processes
of one run. With EEGFM_TEST_AFRESH=1, which `make test-all` says, and where there is no Linux, everything is started so.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# what commands import of others; what is not here is imported by the command itself, as wandb is: its import makes a
# temporary folder, which the first command to end would delete for the others
LIBRARIES = (
    "einops", "h5py", "hydra", "jaxtyping", "lightning.pytorch", "lightning.pytorch.loggers", "lmdb", "markdown_it",
    "matplotlib.backends.backend_agg", "matplotlib.figure", "mne", "mne.channels", "mne.filter", "mne.io",
    "omegaconf", "pooch", "requests", "rich.console", "rich.progress", "rich.table", "safetensors.torch",
    "scipy.linalg", "scipy.signal", "scipy.stats", "sklearn.discriminant_analysis", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.neighbors", "sklearn.pipeline", "torch", "torch.utils.flop_counter", "torchmetrics",
)  # fmt: skip
# what commands import of eegfm, and what they import of others where it is used
OURS = (
    "eegfm.analysis.evaluate", "eegfm.commands.work.convert", "eegfm.commands.dashboard", "eegfm.commands.export",
    "eegfm.commands.work.stream", "eegfm.commands.sweep", "eegfm.commands.work.verify", "eegfm.config.doors",
    "eegfm.encoders.spectrum", "eegfm.export.card", "eegfm.export.from_run", "eegfm.models.bandpower",
    "eegfm.models.majority", "eegfm.models.samba", "eegfm.models.stamp", "eegfm.prepare", "eegfm.report",
    "eegfm.reporting.dashboard", "eegfm.search.loop", "eegfm.training.run", "optuna", "skops.io",
)  # fmt: skip

CLIENT = Path(__file__).with_name("command_line_client.py")


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests with one thread, without settings for eegfm or W&B, plus `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EEGFM_", "WANDB_"))}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


class Forked:
    """A command that the parent has forked, as a `subprocess.Popen`."""

    def __init__(self, command: list[str], parent: socket.socket) -> None:
        self.args, self.returncode, self._parent = command, None, parent
        self.pid = self._told()

    def _told(self) -> int:
        said = self._parent.recv(32)
        if not said:
            raise RuntimeError("The process that starts commands for the tests has ended.")
        return int(said)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._parent.settimeout(timeout)
            try:
                self.returncode = self._told()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._parent.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = Forked | subprocess.Popen


def start(module: str, *arguments: str, **options: Any) -> Process:
    """Begin `python -m <module> <arguments>` in `cwd`, whose output goes to the open file `out`, or `out` and `err`."""
    return (start_afresh if _afresh() else start_forked)(module, *arguments, **options)


def start_forked(
    module: str,
    *arguments: str,
    cwd: Path,
    out: IO,
    err: IO | None = None,
    env: Mapping[str, str] | None = None,
) -> Forked:
    """`start` from the parent, whatever EEGFM_TEST_AFRESH says: for hundreds of commands one after another."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wanted = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": dict(env or environment())}
    with theirs:
        files = [theirs.fileno(), out.fileno(), (err or out).fileno()]
        socket.send_fds(_parent(), [json.dumps(wanted).encode()], files)
    return Forked([module, *arguments], ours)


def start_afresh(
    module: str,
    *arguments: str,
    cwd: Path,
    out: IO,
    err: IO | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """`start` by a new interpreter."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=cwd, env=env or environment(), stdout=out, stderr=err or out)


def call(module: str, *arguments: str, starting: Any = start, timeout: float = 600, **options: Any) -> Any:
    """`python -m <module> <arguments>` to its end: exit status and what it said, as of `subprocess.run`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = starting(module, *arguments, out=out, err=err, **options)
        try:
            status = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess([module, *arguments], status, *said)


def call_afresh(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`call` by a new interpreter."""
    return call(module, *arguments, starting=start_afresh, **options)


def call_forked(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`call` from the parent, whatever EEGFM_TEST_AFRESH says."""
    return call(module, *arguments, starting=start_forked, **options)


def shell(
    line: str, cwd: Path, env: Mapping[str, str], timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """What bash makes of a line in `cwd`, with the commands of this Python; `eegfm` is forked as by `call`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    more, files = {"PATH": path}, ()
    if not _afresh():
        files = (_parent().fileno(),)
        line = f'eegfm() {{ {sys.executable} -IS {CLIENT} {files[0]} "$@"; }}\nexport -f eegfm\n{line}'
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env={**env, **more},
        pass_fds=files,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def _afresh() -> bool:
    return not hasattr(os, "pidfd_open") or bool(os.environ.get("EEGFM_TEST_AFRESH"))


@cache
def _parent() -> socket.socket:
    """The way to the parent of this process's commands, which ends when this end is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.command_line", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], cwd=Path(__file__).parents[1], env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return ours


# --- in the parent


def serve(requests: socket.socket) -> dict[str, Any]:
    """Fork a process for every request and tell how it ended. This returns in a new process only, with its request."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process
    while True:
        for ready in select.select([requests.fileno(), *running], [], [])[0]:
            if ready in running:
                pid, asker = running.pop(ready)
                os.close(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _tell(asker, status)
                asker.close()
                continue
            message, files, *_ = socket.recv_fds(requests, 1 << 18, 3)
            if not message:  # pytest has ended
                raise SystemExit
            threads = _threads()
            assert not threads, f"A fork would leave out threads of the parent: {threads}"
            asker = socket.socket(fileno=files[0])
            pid = os.fork()
            if not pid:
                for own in (asker, requests, *(other for _, other in running.values())):
                    own.close()
                for descriptor in running:
                    os.close(descriptor)
                return {**json.loads(message), "out": files[1], "err": files[2]}
            os.close(files[1])
            os.close(files[2])
            running[os.pidfd_open(pid)] = pid, asker
            _tell(asker, pid)


def _tell(asker: socket.socket, number: int) -> None:
    try:
        asker.send(str(number).encode())
    except BrokenPipeError:  # nobody waits for it any more
        pass


def _threads() -> list[str]:
    """Names of threads beside the main one, but for that of the allocator of Arrow, which begins again after a fork."""
    others = [path for path in Path("/proc/self/task").iterdir() if path.name != str(os.getpid())]
    names = [(path / "comm").read_text().strip() for path in others]
    return [name for name in names if name != "jemalloc_bg_thd"]


def become(module: str, arguments: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
    """Go on as `python -m <module> <arguments>`, started in `cwd` with this environment and these files."""
    for descriptor, number in ((out, 1), (err, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # the streams that the parent has opened remember whether they can seek
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = _path_of(os.environ)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:] = [cwd, *_path_of(env), *(place for place in sys.path[1:] if place not in before)]
    sys.argv[1:] = arguments
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    sys.modules.pop("tests")
    import numpy
    import torch

    numpy.random.seed(None)
    torch.default_generator.seed()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _path_of(env: Mapping[str, str]) -> list[str]:
    return [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]


if __name__ == "__main__":
    import gc

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the commands themselves
    for name in LIBRARIES + OURS:
        import_module(name)
    gc.freeze()  # a command's collections leave alone what it shares
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    del sys.argv[1:]
    become(**request)
