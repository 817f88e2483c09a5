"""What the gateway does about each request: one module per subject, one small function per message.

A handler reads its fields, asks market or venue, and sends the answer. It refuses by raising
:class:`~trading_platform.paper_gateway.errors.RequestError`.
"""
