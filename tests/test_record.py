"""Records: what they share with dataclasses."""

from __future__ import annotations  # records read annotations as they are written

from typing import ClassVar

import pytest

from netdsl.record import Record, field


class Point(Record, eq=True):
    x: int
    y: int = 2
    kind: ClassVar[str] = "point"


class Basket(Record, frozen=False):
    items: list[int] = field(default_factory=list)


class Labelled(Point, eq=True):
    label: str = ""


def test_fields_are_taken_in_order_or_by_name():
    assert (Point(1).x, Point(1).y, Point(1, 5).y, Point(y=3, x=4).x, Point.kind) == (1, 2, 5, 4, "point")
    assert (Labelled(1, label="a").y, Labelled(1, 2, "b").label) == (2, "b")


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_wrong_fields_are_errors(values, named):
    with pytest.raises(TypeError):
        Point(*values, **named)


def test_equality_is_by_fields_or_by_identity():
    assert Point(1) == Point(1, 2) != Point(1, 3)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Point(1) != Labelled(1) and Point(1) != (1, 2)
    assert Basket() != Basket()


def test_frozen_unless_asked():
    with pytest.raises(AttributeError):
        Point(1).x = 3
    basket = Basket()
    basket.items = [1]
    assert basket.items == [1]
    with pytest.raises(AttributeError):
        basket.other = 1


def test_a_made_default_is_its_own():
    assert Basket().items is not Basket().items


def test_replace_and_repr():
    assert Point(1).replace(x=7) == Point(7, 2)
    assert repr(Point(1)) == "Point(x=1, y=2)"


@pytest.mark.parametrize("count", [1, 1000])
def test_many_records_are_made_like_few(count):
    class Pair(Record):
        a: int
        b: list[int] = field(default_factory=list)
        c: str = "c"

    class Empty(Record):
        pass

    pairs = [Pair(i) for i in range(count)]
    assert [pair.a for pair in pairs] == list(range(count))
    assert len({id(pair.b) for pair in pairs}) == count and pairs[-1].c == "c"
    assert (Pair(1, c="d").c, Pair(c="d", a=2).a, Pair(3, [4], "e").b) == ("d", 2, [4])
    assert [Empty() for _ in range(count)]
    for wrong in ({}, {"a": 1, "d": 2}):
        with pytest.raises(TypeError):
            Pair(**wrong)
    with pytest.raises(AttributeError):
        pairs[-1].a = 2
