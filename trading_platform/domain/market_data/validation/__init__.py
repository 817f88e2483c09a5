"""Which bars can be believed. Pure: raw bars in; valid bars and a log of all that was found out, nothing lost.

One file per kind of rule: ``structure`` (what a row must be to be a bar), ``sessions`` (where it may start),
``doubles``, ``neighbours`` (what the bars around it say), ``volumes``, ``revisions``. ``missing`` counts what is not
there. All reasons are in ``market_data.reasons``, severities and thresholds in ``market_data.quality``.
"""

from trading_platform.domain.market_data.quality import DataQuality, QualityRules
from trading_platform.domain.market_data.reasons import REASONS, RELEASABLE, RULES, Rule, Severity
from trading_platform.domain.market_data.validation.missing import join_missing, missing_bars
from trading_platform.domain.market_data.validation.model import BarDecision, Validation, Verdict, blocked_symbols
from trading_platform.domain.market_data.validation.series import Splits
from trading_platform.domain.market_data.validation.validate import validate_bars

__all__ = [
    "REASONS",
    "RELEASABLE",
    "RULES",
    "BarDecision",
    "DataQuality",
    "QualityRules",
    "Rule",
    "Severity",
    "Splits",
    "Validation",
    "Verdict",
    "blocked_symbols",
    "join_missing",
    "missing_bars",
    "validate_bars",
]
