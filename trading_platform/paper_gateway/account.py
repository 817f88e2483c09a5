"""The paper account: cash and positions, moved only by fills, in exact decimal arithmetic.

For every sequence of fills these hold exactly::

    cash            = start − Σ signed notional − Σ commissions
    cash + Σ cost   = start + Σ realized
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from trading_platform.paper_gateway.model import Action, Contract

ZERO = Decimal(0)
_GRAIN = Decimal("1e-10")


@dataclass
class Position:
    """A signed quantity and what it cost, commissions included. ``cost`` has the sign of ``quantity``."""

    contract: Contract
    quantity: Decimal = ZERO
    cost: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        """Cost per unit, as IBKR's ``avgCost``; zero when flat."""
        return self.cost / self.quantity if self.quantity else ZERO


class PaperAccount:
    """Cash in USD and positions by contract id."""

    def __init__(self, cash: Decimal, positions: Iterable[Position] = ()) -> None:
        self.cash = cash
        self.positions = {position.contract.con_id: position for position in positions}

    def quantity(self, con_id: int) -> Decimal:
        """Signed quantity held of a contract."""
        position = self.positions.get(con_id)
        return position.quantity if position else ZERO

    def position_of(self, contract: Contract) -> Position:
        """The position in a contract, made if there is none. It leaves ``positions`` when a fill makes it flat."""
        return self.positions.setdefault(contract.con_id, Position(contract))

    def apply(
        self, contract: Contract, action: Action, quantity: Decimal, price: Decimal, commission: Decimal
    ) -> Decimal | None:
        """Book one fill.

        Returns the realized profit or loss net of commissions when the fill reduces or turns a position, and
        ``None`` when it only opens or adds. A fill that turns a position pays its commission in proportion.
        """
        position = self.position_of(contract)
        signed = quantity if action == "BUY" else -quantity
        self.cash -= signed * price + commission
        held = position.quantity
        if held * signed >= 0:
            _open(position, signed, price, commission)
            return None

        closing = min(quantity, abs(held))
        closing_commission = commission
        if closing < quantity:
            closing_commission = (commission * closing / quantity).quantize(_GRAIN, ROUND_HALF_EVEN)
        direction = 1 if signed > 0 else -1
        realized = _close(position, direction * closing, price, closing_commission)
        if closing < quantity:
            _open(position, direction * (quantity - closing), price, commission - closing_commission)
        if not position.quantity:
            del self.positions[contract.con_id]
        return realized


def _open(position: Position, signed: Decimal, price: Decimal, commission: Decimal) -> None:
    position.quantity += signed
    position.cost += signed * price + commission


def _close(position: Position, signed: Decimal, price: Decimal, commission: Decimal) -> Decimal:
    """Take ``signed`` (opposite to the position, not larger) off the position at cost; return what it earned."""
    if signed == -position.quantity:
        released = position.cost
    else:
        released = (position.cost * -signed / position.quantity).quantize(_GRAIN, ROUND_HALF_EVEN)
    position.quantity += signed
    position.cost -= released
    return -signed * price - commission - released
