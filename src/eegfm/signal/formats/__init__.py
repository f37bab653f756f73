"""Native files -> recordings or arrays, a module per format (`edf_*` beside `edf`); `any_file` chooses.

A damaged file raises and never passes for data.
"""
