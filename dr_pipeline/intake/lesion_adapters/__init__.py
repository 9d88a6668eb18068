"""Adapters of data sets with masks of lesions: one file for each layout, named in `choice.py`.

An adapter is a function `read(root, params) -> LesionSet`. It lists files and decodes none.
"""
