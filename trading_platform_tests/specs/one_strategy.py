"""The smallest strategy that loads, for tests of what stands beside strategies."""

ONE_STRATEGY = """
name: one
strategy: trend_momentum
description: A test's.
universe: [AAPL]
bar_size: 5 mins
cadence_minutes: 5
history_sessions: 3
"""
