"""`eegfm predict run=runs/<run> files='<folder>/*.edf'`: class probabilities along recordings, by a trained model.

Any run that tells classes apart, fitted ones too. Recordings are read as they are (EDF, BDF, GDF, CNT, and other
formats of MNE), brought to the run's channels, steps and windows as its training did it, and predicted window by
window. A model that reads places (SAMBA) takes any montage.

  files=<pattern>      a file, a pattern in quotes, or a list of both: files=[a.edf,b.fif]
  out=<folder>         where to write (default: a folder in predict/ of the run)
  hop_s=<seconds>      from one window to the next (default: a window, end to end)
  decide=mean          a recording's class by the mean probability of its windows; vote: by most windows
  annotate=true        also write annotations for MNE and an events.tsv, a stretch of one decision each
  steps=none           the files are already processed: they have the run's channels and rate
  device=cpu           or cuda (default: a GPU if there is one)

The folder holds recordings.csv (a row a recording: the decision and how it was made, or why there is none), windows/
(a table a recording: second and probability of each class) and predict.json; and persons.csv (a row a person, whose
windows decide together) where a label is a person's, and {subject} in the paths of the run's own data set says whose
a recording is. Channels go by name, as they are called in common (EEG Fp1-REF is Fp1, T3 is T7), or by the place that
the file gives them. A gap is not crossed: every piece begins with a window of its own. A file that cannot be
predicted does not end the others; the exit status is then 1.

In Python: eegfm.load("runs/<run>").predict(raw)
"""

from eegfm.config.doors import door

main = door("predict", "eegfm.commands.work.predict:predict", purpose=__doc__)

if __name__ == "__main__":
    main()
