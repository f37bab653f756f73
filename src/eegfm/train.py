"""`eegfm train model=stamp data=mental_arithmetic data.raw=<folder>`: prepare, train, test, report.

The config names the run folder, so the same command finds its run again: it continues an interrupted run from its
last epoch, and does not repeat a finished one. Any value of the config can be set (model.depth=4). A list of values
with -m trains one run for each: -m seed=1,2,3
"""

from eegfm.config.doors import door

main = door("train", "eegfm.training.run:main", purpose=__doc__)

if __name__ == "__main__":
    main()
