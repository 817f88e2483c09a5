"""Deciding over history without a broker: when ticks come, the simulated account, and the loop that steps them.

Pure: the market is handed in (:mod:`.market`), and nothing here reads a clock, a file or a database.
"""
