"""Damage: bits that flip, files that are cut, processes that are killed, disks that are full.

What the project promises of them, for every kind of file that it writes itself: a number comes out as it would have
without the damage, or a sentence names the file. A test has a small form of each; in full they are

    python -m tests.damage flips --n 300 --seed 0
    python -m tests.damage cuts --n 100
    python -m tests.damage kills --n 200
    python -m tests.damage full_disks              wants root, who may mount a small file system

A case is drawn from its seed and its number alone: `--only 17` repeats it.
"""
