"""`eegfm evaluate run=<run folder or checkpoint> split=test`: score trained weights on any split.

Data, encoder and model come from the run's own config, which its folder and every checkpoint hold.
The outcome goes to `evaluations/` in the run's folder; a finished run stays as it is.

  embedding_map=true   instead of scores, draw a map of the windows: raw, embedded with random weights, and with the
                       run's weights; and measure which windows are near (default: the validation split)
  explain=true         instead of scores, write one page: curves, calibration, scores by subject and, if the backbone
                       has attention, where it looks
"""

import sys
from types import ModuleType

from eegfm.config.doors import door

main = door("evaluate", "eegfm.analysis.evaluate:evaluate", purpose=__doc__, values=("split",))


class _AlsoTheCall(ModuleType):
    """Importing this module puts it where `eegfm.evaluate(...)` was, the call from Python: so it is both."""

    __call__ = staticmethod(sys.modules["eegfm"].evaluate)


sys.modules[__name__].__class__ = _AlsoTheCall

if __name__ == "__main__":
    main()
