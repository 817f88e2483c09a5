"""What the assets of the orders stage are called."""

STAGE = "orders"
EXECUTIONS = (STAGE, "executions")
RECONCILED = "broker_and_ledger_agree"


def intents_key(strategy: str) -> tuple[str, str]:
    """Key of the strategy's order intents."""
    return STAGE, f"{strategy}_order_intents"


def orders_key(strategy: str) -> tuple[str, str]:
    """Key of the strategy's orders."""
    return STAGE, f"{strategy}_orders"


def risk_decisions_key(strategy: str) -> tuple[str, str]:
    """Key of what risk said of the strategy's intents."""
    return STAGE, f"{strategy}_risk_decisions"
