"""What goes over the wire, message by message: requests into values, values into fields. No state, no I/O.

All layouts are those of server version 176, which both ``ib_insync`` 0.9.86 and ``ib_async`` 2.1.0 speak.
"""
