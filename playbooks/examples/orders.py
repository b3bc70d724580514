"""The code behind `orders.yaml`."""

from __future__ import annotations

from typing import TypedDict

CENTS = {"apple": 30, "bread": 250, "coffee": 690}
UNLISTED = 100


class Order(TypedDict):
    """One order of a day: what, and how many."""

    item: str
    quantity: int


class PricedOrder(Order):
    """An order and what it costs, in cents."""

    cents: int


def price_order(order: Order) -> PricedOrder:
    """Return an order with its price."""
    return {**order, "cents": order["quantity"] * CENTS.get(order["item"], UNLISTED)}
