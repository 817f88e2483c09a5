"""Indicators: one function each, registered with its units, warm-up and source; one module per family.

Each gets bars as arrays (``features.arrays``) and returns one value per bar, which depends on the last ``warm_up``
bars and on nothing else. Periods count bars, not time: a bar that is missing is not noticed here. Volatilities are
per bar; multiply by √(bars per year) to annualise, which is √252 for daily bars.
"""

from trading_platform.domain.features.indicators import (  # noqa: F401  # importing registers them
    averages,
    dispersion,
    oscillators,
    ranges,
    reference,
    returns,
    volume,
)
