"""`eegfm verify data=<benchmark> [data.raw=<folder>]`: check raw files and store; without data=, list all benchmarks.

The command compares the raw files with those that the store was made from, the windows with their digests, the counts
with the census, and the splits with one another. It checks that amplitude, mains and pass-band fit the protocol's
steps. The exit status is 1 if a check fails. The store keeps the result; a store that has not passed is checked
before its first training.
"""

from eegfm.config.doors import door

main = door("verify", "eegfm.commands.work.verify:verify_benchmarks", purpose=__doc__)

if __name__ == "__main__":
    main()
