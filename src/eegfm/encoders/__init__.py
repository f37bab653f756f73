"""Frozen encoders: one second of one electrode in, a vector out (`contracts.Encodes`). One encoder, one file.

An encoder runs once, when a store of vectors is prepared; the backbone then reads that store.
`conf/encoder/<name>.yaml` names an encoder's class; this package lists none.
"""


def raw(*, input_norm: str) -> None:
    """encoder=raw: there is no encoder, and the store holds the windows themselves.

    `input_norm` exists for the configs that read it as `${encoder.input_norm}`; it has no effect here.
    """
