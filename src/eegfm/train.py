"""`python -m eegfm.train model=stamp data=mental_arithmetic data.raw=<folder>`: prepare, train, test, report.

The run folder is named by the resolved config. The same command finds it again: it goes on from the last epoch where
the run was interrupted, and says so where it is finished.
"""

from eegfm.config.doors import door

main = door("train", "eegfm.training.run:main", purpose=__doc__)

if __name__ == "__main__":
    main()
