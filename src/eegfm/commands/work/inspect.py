"""What `eegfm inspect` does: write the page of a data set."""

from pathlib import Path

from omegaconf import DictConfig

from eegfm.config.corpora import one_corpus
from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.reporting.data_page import page


def inspect(config: DictConfig) -> None:
    """Write the page of a benchmark's data. Raises EegfmError for a wrong value or a file that cannot be written."""
    for key, least in (("windows", 1), ("seed", 0)):
        value = config[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise EegfmError(f"{key}={value}: a whole number from {least} on is wanted.")
    data = make(one_corpus(config, "eegfm inspect"), "data")()
    out = Path(f"inspect-{data.benchmark.name}.html" if config.out is None else str(config.out))
    if out.is_dir():
        raise EegfmError(f"out={out} is a folder; a file is wanted: out={out / 'page.html'}")
    data.prepare_data()
    html = page(data, windows=config.windows, seed=config.seed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(html, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise EegfmError(
            f"out={out} cannot be written: {error.strerror}. Choose another: out=<file.html>"
        ) from None
    print(
        f"{data.benchmark.title}: {out.resolve()} ({out.stat().st_size / 1e6:.1f} MB). Open it in any browser."
    )
