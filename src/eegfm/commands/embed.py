"""`eegfm embed run=runs/<run> files='<folder>/*.edf'`: one vector for each window of recordings.

The vectors of a run's backbone; or, without a run, of weights that their authors have published:

  eegfm embed model=cbramod weights=published data=mental_arithmetic files=<pattern>
  eegfm embed encoder=moment data=mental_arithmetic files=<pattern>

There, data=<benchmark> says which channels, steps and windows.

  files=<pattern>      a file, a pattern in quotes, or a list of both: files=[a.edf,b.fif]
  of=encoder           the frozen encoder's vectors instead, their mean over channels and seconds
  out=<folder>         where to write (default: a folder in embed/ of the run)
  hop_s=<seconds>      from one window to the next (default: a window, end to end)
  steps=none           the files are already processed: they have the run's channels and rate
  device=cpu           or cuda (default: a GPU if there is one)

Of a probe, and of a model that was fitted in one go, the vectors are what its classifier is given. A file a recording:
npz/<name>.npz with vectors [window, width], second, recording and channels; the same as parquet/<name>.parquet, if
pyarrow is installed. recordings.csv has a row a recording. Channels, gaps and faulty files are as for eegfm predict.
"""

from eegfm.config.doors import door

main = door("embed", "eegfm.commands.work.embed:embed", purpose=__doc__)

if __name__ == "__main__":
    main()
