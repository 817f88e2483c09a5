"""Where bars come from: one small protocol (``base``), one module per kind of source.

Here: asking, and bringing what comes into one form. Elsewhere: which bars are wanted (``ingest.bars``), judging them
(``domain.market_data.validation``).
"""
