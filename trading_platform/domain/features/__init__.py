"""Features: numbers per bar that strategies and models read.

``registry`` names them, ``indicators`` computes them for one symbol, ``compute`` for a frame of many.
"""
