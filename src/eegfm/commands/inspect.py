"""`eegfm inspect data=<benchmark> [windows=3] [out=<file.html>]`: a page to look at before trusting a data set.

Traces, spectra, montage, classes by split and amplitudes, in one HTML file; the store is prepared where it is missing.
"""

from eegfm.config.doors import door

main = door("inspect", "eegfm.commands.inspecting:inspect", purpose=__doc__)

if __name__ == "__main__":
    main()
