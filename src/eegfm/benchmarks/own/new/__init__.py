"""`eegfm new`: look at a folder of recordings, and write the YAML that declares them (see `eegfm.benchmarks.own`).

`folder` sorts the files, `headers` opens the recordings; `paths`, `channels`, `events` and `tables` say what can be
told of them, `deciding` what cannot; `writing` writes it, and `telling` says it.
"""
