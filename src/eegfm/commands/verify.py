"""`eegfm verify data=<benchmark> [data.raw=<folder>]`: check raw files and store; without data=, list every benchmark.

Raw files are compared with those that the store was made of, windows with their digests, counts with the census, splits
with one another, amplitude, mains and pass-band with what the protocol's steps must have made. Exit status 1 when
anything is off. The store remembers the result; a store that has not passed is checked before the first training.
"""

from eegfm.config.doors import door

main = door("verify", "eegfm.commands.verifying:verify_benchmarks", purpose=__doc__)

if __name__ == "__main__":
    main()
