"""`eegfm stream run=runs/<run> file=<file.edf>`: a trained model over a recording of hours, in constant memory.

A run of task=classify gives class probabilities of a window every hop_s seconds (a window's length). One of
task=reconstruct gives the recording back: a causal Eegm2 as one stream with a memory, exactly as in one pass; any other
model in windows that are faded into one another, hop_s apart (half a window). What comes out: a table (CSV), written as
it is found; annotations for MNE; a picture; stream.json.

The file goes through the run's own steps, which look seconds ahead: it is analysed as training data were, not as a
closed loop would meet it. steps=none takes the file as it is (at the run's rate, with the run's rows).

A causal model goes on from what it remembers for hours, and was trained on windows of seconds that began with nothing:
that it is exact says that it is computed right, not that it was made for this.

Annotations are runs of one decision; of a reconstruction, seconds whose error of all channels is above mark=3.0 times
the median of the recording's seconds. Also out=<folder>, keep=true (the reconstruction as EDF, to 0.1 µV), device=cpu.

export=<file.pt2> writes a causal model, with its state as inputs and outputs, as a program that needs torch alone.
"""

from eegfm.config.doors import door

main = door("stream", "eegfm.commands.streaming:stream", purpose=__doc__)

if __name__ == "__main__":
    main()
