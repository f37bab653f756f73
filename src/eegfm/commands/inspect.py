"""`eegfm inspect data=<benchmark> [windows=3] [out=<file.html>]`: a page to look at before trusting a data set.

Traces, spectra, montage, classes by split and amplitudes, in one HTML file; the store is prepared where it is missing.
"""

from pathlib import Path

from omegaconf import DictConfig

from eegfm.build import door, make, one_benchmark


@door("inspect")
def main(config: DictConfig) -> None:
    from eegfm.contracts import EegfmError
    from eegfm.page import page

    for key, least in (("windows", 1), ("seed", 0)):
        value = config[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise EegfmError(f"{key}={value}: a whole number from {least} on is wanted.")
    data = make(one_benchmark(config, "eegfm inspect"), "data")()
    out = Path(f"inspect-{data.benchmark.name}.html" if config.out is None else str(config.out))
    if out.is_dir():
        raise EegfmError(f"out={out} is a folder; a file is wanted: out={out / 'page.html'}")
    data.prepare_data()
    html = page(data, windows=config.windows, seed=config.seed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(html, encoding="utf-8")
    except OSError as error:
        raise EegfmError(
            f"out={out} cannot be written: {error.strerror}. Choose another: out=<file.html>"
        ) from None
    print(
        f"{data.benchmark.title}: {out.resolve()} ({len(html.encode()) / 1e6:.1f} MB). Open it in any browser."
    )


if __name__ == "__main__":
    main()
