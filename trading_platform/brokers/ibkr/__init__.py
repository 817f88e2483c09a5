"""Interactive Brokers behind the :class:`~trading_platform.brokers.base.Broker` protocol.

The only package that imports ``ib_insync``, and it does so on one daemon thread only (see ``loop``):
``session`` is the one module that imports it at module level, so nobody but the loop thread may import it.
"""
