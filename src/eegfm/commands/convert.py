"""`eegfm convert data=<benchmark> lmdb=<folder>`: import an LMDB that CBraMod's or STAMP's own scripts made.

The command compares every key, label and split with the protocol and its census. It runs no code from a pickle and
does not change the LMDB. To train on the imported store, add data.imported=true.
"""

from eegfm.config.doors import door

main = door("convert", "eegfm.commands.work.convert:convert_store", purpose=__doc__)

if __name__ == "__main__":
    main()
