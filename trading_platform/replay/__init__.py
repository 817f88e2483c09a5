"""Stepping one clock through history with the real order path: ledger, client and paper gateway, without Dagster.

Here: which functions are called at a tick, and what is kept in memory between ticks. Not here: starting a gateway or a
database (``ops/replay_command.py``), deciding anything (``domain``), sending anything (``execution``).
"""
