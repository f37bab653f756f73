"""Frozen encoders: one second of one electrode in, a vector out (`contracts.Encodes`). One encoder, one file.

An encoder runs once, when a store of vectors is prepared; the backbone then reads that store. None is listed here:
`conf/encoder/<name>.yaml` names the class.
"""


def raw(*, input_norm: str) -> None:
    """encoder=raw: there is none, and the store holds the windows themselves.

    `input_norm` is there for the configs that read it as `${encoder.input_norm}`; nothing is done with it here.
    """
