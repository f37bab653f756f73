"""`eegfm check model=<model> data=<benchmark>`: hold a model to what every model owes, on one real batch, in seconds.

  eegfm check model=mine model.path=mymodule.Net data=mental_arithmetic data.raw=<folder>

A network is held to its shape, a gradient for every parameter, independence of the other windows of a batch, train and
eval modes, saving and loading, another length of window, and the same steps from the same seed; its memory and the
time of a step are measured. An estimator is fitted to a few windows, kept and loaded. Whatever fails is said with what
to do; the exit status is then 1. The store is prepared first if it is missing.

  windows=16           windows in the batch (training windows, the same of every class where there are enough)
"""

from eegfm.config.doors import door

main = door("check", "eegfm.commands.work.check:check", purpose=__doc__)

if __name__ == "__main__":
    main()
