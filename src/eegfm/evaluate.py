"""`python -m eegfm.evaluate run=<run folder or checkpoint> split=test`: score trained weights on any split.

The run's own config, kept in its folder and in every checkpoint, says which data, encoder and model they were.
`embedding_map=true` draws instead where windows lie, raw, by random weights and by the run's, and says in numbers what
is near to what; of the validation split, if none is named. `explain=true` writes one page with curves,
calibration, scores by subject and, of a backbone that attends, where it looks.
"""

from eegfm.config.doors import door

main = door("evaluate", "eegfm.analysis.evaluate:evaluate", purpose=__doc__, values=("split",))

if __name__ == "__main__":
    main()
