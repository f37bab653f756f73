"""`eegfm inspect data=<benchmark> [windows=3] [out=<file.html>]`: draw a data set, to look at before trusting it.

Writes one HTML file with traces, spectra, the montage, the classes of each split, and amplitudes. Prepares the store
first if it is missing.

  windows=3            windows to draw of each class
  out=<file.html>      the file (default: inspect-<benchmark>.html in this folder)
"""

from eegfm.config.doors import door

main = door("inspect", "eegfm.commands.work.inspect:inspect", purpose=__doc__)

if __name__ == "__main__":
    main()
