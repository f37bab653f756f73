"""`eegfm stream run=runs/<run> file=<file.edf>`: run a trained model over a recording of hours, in constant memory.

A run of task=classify predicts the class probabilities of one window after another. A run of task=reconstruct
reconstructs the recording: a causal model (model.causal=true) as one stream with a memory, equal to one pass over
the whole recording; any other model in overlapping windows that are cross-faded. The output folder holds a table
(CSV, written row by row), annotations for MNE, a picture, and stream.json.

  out=<folder>         where to write (default: stream/<file name>/ in the run folder)
  hop_s=<seconds>      from one window to the next (default: a window to classify, half a window to reconstruct)
  steps=none           the file is already processed: it has the run's sampling rate and channels
  mark=3.0             annotate a second if its error exceeds this multiple of the recording's median error
  edf=true             also write the reconstruction as EDF, to 0.1 µV, one file for each piece without a gap
  device=cpu           or cuda (default: a GPU if there is one)
  export=<file.pt2>    write a causal model, with its state as input and output, as a program that needs only torch

The file is read and checked as the files of a corpus: EDF, BDF, GDF, CNT, and other formats of MNE. If it has gaps,
each piece is analysed alone, and seconds are those of the file.

lsl=<stream> in place of file= answers a live source of the lab streaming layer: a classifier with what it says of the
last window, every hop_s seconds; a causal reconstruction exactly, with its error of every second. Answers go out as a
stream of markers, <stream>-eegfm, and into live.csv with how late each was. The source must have the run's rate, and
steps=none where the run has steps, since they look ahead. seconds=<n> ends it, or Ctrl-C.

By default the recording goes through the run's own processing steps. They look seconds ahead, so this analyses a
finished recording, as in training; a closed loop would see less. A class stays one annotation while the decision
stays the same.

A causal model carries its memory through the hours, but it was trained on windows of seconds that began without
memory. The stream computes the model exactly; whether the model is good at such lengths is another question.
"""

from eegfm.config.doors import door

main = door("stream", "eegfm.commands.work.stream:stream", purpose=__doc__)

if __name__ == "__main__":
    main()
