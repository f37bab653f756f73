"""`eegfm convert data=<benchmark> lmdb=<folder>`: take over a store that CBraMod's or STAMP's scripts have made.

Every key, label and split is held against the protocol and its census. Nothing in a pickle is run; the LMDB stays as it
is. Train on what comes out with data.imported=true.
"""

from eegfm.config.doors import door

main = door("convert", "eegfm.commands.converting:convert_store", purpose=__doc__)

if __name__ == "__main__":
    main()
