"""The code behind `orders.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
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


class Priced(TypedDict):
    """The orders of a day and their sum, in cents."""

    orders: list[PricedOrder]
    total: int


def price_orders(orders: Sequence[Order]) -> Priced:
    """Return every order with its price, and the sum of all."""
    priced: list[PricedOrder] = [
        {**order, "cents": order["quantity"] * CENTS.get(order["item"], UNLISTED)} for order in orders
    ]
    return {"orders": priced, "total": sum(order["cents"] for order in priced)}
