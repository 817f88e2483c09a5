"""The contracts between assets: one Pandera model per table.

A model says what a row may hold: columns, types, units, keys. Rules that need other rows, a calendar or a
clock belong to ``domain``. ``columns`` turns a model into what Dagit shows.
"""
