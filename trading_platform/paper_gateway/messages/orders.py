"""Orders, their states and their executions on the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.contracts import short_contract
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.messages.times import local_stamp, utc_stamp
from trading_platform.paper_gateway.model import PaperExecution, PaperOrder, WhatIf
from trading_platform.paper_gateway.wire import UNSET_DOUBLE

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field

_NONE = "None"
_ANY_RIGHT = "?"
_REMOVED_LIQUIDITY = 2


def open_order(order: PaperOrder, account: str, what_if: WhatIf | None = None) -> list[Field]:
    """One order with its state; with ``what_if`` the answer to the question what it would do."""
    ticket = order.ticket
    margins: list[Field] = [UNSET_DOUBLE] * 9
    commission: list[Field] = [UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, ""]
    if what_if is not None:
        margins = [
            *[what_if.init_margin_before, what_if.maint_margin_before, what_if.equity_with_loan_before],
            *[what_if.init_margin_change, what_if.maint_margin_change, what_if.equity_with_loan_change],
            *[what_if.init_margin_after, what_if.maint_margin_after, what_if.equity_with_loan_after],
        ]
        commission = [what_if.commission, UNSET_DOUBLE, UNSET_DOUBLE, order.contract.currency]
    return [
        Outgoing.OPEN_ORDER,
        order.order_id,
        *_order_head(order, account),
        order.client_id,
        order.perm_id,
        *_time_and_advisors(order, has_shares_allocation=True),
        *_volatility_free_prices(),
        *_size_flags(order, is_completed=False),
        ticket.parent_id,
        *_volatility_and_delta_neutral(is_completed=False),
        *_trailing(order, is_completed=False),
        *_legs_scale_hedge(),
        0,  # smart-routing opt-out
        *_clearing_and_algorithm(),
        0,  # solicited
        what_if is not None,
        order.status if what_if is None else "PreSubmitted",
        *margins,
        *commission,
        "",  # warning
        *_blank(2, 0),  # randomize size and price
        0,  # conditions
        _NONE,  # adjusted order type
        "",  # its trigger price
        _trail_stop(order),  # clients take this one for the trailing stop
        *_blank(4),  # its other prices
        0,  # and unit
        *_blank(3),  # soft-dollar tier
        "",  # cash quantity
        *_blank(3, 0),  # hedge price, OMS container, discretionary
        "",  # price management
        *_blank(2),  # duration, post to ATS
        0,  # cancel parent
        *_blank(5),  # IBKR ATS
    ]


def completed_order(order: PaperOrder, account: str) -> list[Field]:
    """One order in a final state. It carries no order id: the permanent id is its name."""
    filled = order.filled
    stamp = local_stamp(order.completed_at, order.contract.time_zone) if order.completed_at else ""
    outcome = order.completed_status or (f"Filled Size: {filled}" if order.status == "Filled" else "Cancelled")
    return [
        Outgoing.COMPLETED_ORDER,
        *_order_head(order, account),
        order.perm_id,
        *_time_and_advisors(order, has_shares_allocation=False),
        *_volatility_free_prices()[1:],  # no auction strategy
        *_size_flags(order, is_completed=True),
        *_volatility_and_delta_neutral(is_completed=True),
        *_trailing(order, is_completed=True),
        *_legs_scale_hedge(),
        *_clearing_and_algorithm(),
        0,  # solicited
        order.status,
        *_blank(2, 0),  # randomize size and price
        0,  # conditions
        _trail_stop(order),
        *_blank(2),  # offset, cash quantity
        *_blank(2, 0),  # hedge price, OMS container
        "",  # auto-cancel date
        filled,
        *_blank(2, 0),  # future reference, cancel parent
        "",  # shareholder
        *_blank(2, 0),  # imbalance only, route to BBO
        0,  # permanent id of the parent
        stamp,
        outcome,
        *_blank(5),  # IBKR ATS
    ]


def order_status(order: PaperOrder) -> list[Field]:
    """The order's status and its fills."""
    return [
        Outgoing.ORDER_STATUS,
        order.order_id,
        order.status,
        order.filled,
        order.remaining,
        order.average_fill_price,
        order.perm_id,
        order.ticket.parent_id,
        order.last_fill_price,
        order.client_id,
        order.why_held,
        0,  # market-cap price
    ]


def execution_details(request_id: int, execution: PaperExecution, account: str) -> list[Field]:
    """One execution; request -1 when it is news rather than an answer. Its time is in UTC."""
    return [
        Outgoing.EXECUTION_DETAILS,
        request_id,
        execution.order_id,
        *short_contract(execution.contract, execution.exchange),
        execution.exec_id,
        local_stamp(execution.ts_utc, "UTC"),
        account,
        execution.exchange,
        "BOT" if execution.action == "BUY" else "SLD",
        execution.quantity,
        execution.price,
        execution.perm_id,
        execution.client_id,
        0,  # liquidation
        execution.cumulative,
        execution.average_price,
        execution.order_ref,
        *_blank(3),  # economic value rule and multiplier, model
        _REMOVED_LIQUIDITY,
    ]


def executions_end(request_id: int) -> list[Field]:
    """No more executions for the request."""
    return [Outgoing.EXECUTIONS_END, 1, request_id]


def commission_report(execution: PaperExecution) -> list[Field]:
    """What an execution cost, and the profit it realized (unset for one that opened a position)."""
    realized: Field = UNSET_DOUBLE if execution.realized_pnl is None else execution.realized_pnl
    head: list[Field] = [Outgoing.COMMISSION_REPORT, 1, execution.exec_id, execution.commission]
    return [*head, execution.contract.currency, realized, UNSET_DOUBLE, ""]


def open_orders_end() -> list[Field]:
    """No more open orders."""
    return [Outgoing.OPEN_ORDERS_END, 1]


def completed_orders_end() -> list[Field]:
    """No more completed orders."""
    return [Outgoing.COMPLETED_ORDERS_END]


def _blank(count: int, value: Field = "") -> list[Field]:
    """``count`` fields that say nothing."""
    return [value] * count


def _order_head(order: PaperOrder, account: str) -> list[Field]:
    """From the contract to the order reference."""
    ticket, contract = order.ticket, order.contract
    return [
        *short_contract(contract, contract.exchange, right=_ANY_RIGHT),
        ticket.action,
        ticket.quantity,
        ticket.order_type,
        ticket.limit_price or Decimal(0),
        ticket.aux_price or Decimal(0),
        ticket.time_in_force,
        ticket.oca_group,
        account,
        "",  # open or close
        0,  # origin
        ticket.order_ref,
    ]


def _time_and_advisors(order: PaperOrder, *, has_shares_allocation: bool) -> list[Field]:
    good_till = order.ticket.good_till
    return [
        order.ticket.outside_rth,
        0,  # hidden
        0,  # discretionary amount
        "",  # good after
        *_blank(int(has_shares_allocation)),
        *_blank(5),  # four of financial advisors, model
        utc_stamp(good_till) if good_till else "",
        *_blank(3),  # rule 80A, percent offset, settling firm
        0,  # short sale: slot,
        "",  # location
        -1,  # and exemption
    ]


def _volatility_free_prices() -> list[Field]:
    return [0, "", "", "", "", ""]  # auction strategy, start, stock reference, delta, lower, upper


def _size_flags(order: PaperOrder, *, is_completed: bool) -> list[Field]:
    """Display size to OCA type; open orders have a block flag and three more, up to before the parent id."""
    display, block, sweep, all_or_none, minimum = "", 0, 0, 0, ""
    if is_completed:
        return [display, sweep, all_or_none, minimum, order.ticket.oca_type]
    return [display, block, sweep, all_or_none, minimum, order.ticket.oca_type, 0, 0, ""]


def _volatility_and_delta_neutral(*, is_completed: bool) -> list[Field]:
    """Trigger method to the delta-neutral group, which TWS always opens with the word "None"."""
    head: list[Field] = [0, "", 0, _NONE, ""]
    group: list[Field] = [0, 0, 0, ""] if is_completed else [0, "", "", "", "?", 0, 0, ""]
    return head + group


def _trail_stop(order: PaperOrder) -> Field:
    """Where a trailing stop's stop is, or is to begin."""
    return order.trail_stop or order.ticket.trail_stop_price or ""


def _trailing(order: PaperOrder, *, is_completed: bool) -> list[Field]:
    # continuous update, reference, trailing stop and percent
    head: list[Field] = [0, 0, _trail_stop(order), order.ticket.trailing_percent or ""]
    basis: list[Field] = [] if is_completed else ["", ""]
    return [*head, *basis, ""]  # legs in words


def _legs_scale_hedge() -> list[Field]:
    return [0, 0, 0, "", "", "", ""]  # three empty lists, three of scale, hedge


def _clearing_and_algorithm() -> list[Field]:
    return ["", "IB", 0, 0, ""]  # clearing account and intent, not held, delta-neutral contract, algorithm
