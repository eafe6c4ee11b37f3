from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from pci_agent.model.flow import Costs, anyhow, cheapest
from shares import examples


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[int], list[int], Costs]:
    demands = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    supplies = draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    costs = [[draw(st.sampled_from([None, 0, 1, 2, 5])) for _ in supplies] for _ in demands]
    return demands, supplies, costs


def least_cost(demands: list[int], supplies: list[int], costs: Costs) -> int | None:
    """Try every way to serve every unit."""
    units = [demand for demand, count in enumerate(demands) for _ in range(count)]
    totals = []
    for picked in product(range(len(supplies)), repeat=len(units)):
        prices = [costs[demand][supply] for demand, supply in zip(units, picked, strict=True)]
        if None not in prices and all(picked.count(supply) <= most for supply, most in enumerate(supplies)):
            totals.append(sum(price or 0 for price in prices))
    return min(totals, default=None)


@examples(500, long=20_000)
@given(problems())
def test_all_demands_are_served_at_the_least_cost_where_they_can_be(
    problem: tuple[list[int], list[int], Costs],
) -> None:
    demands, supplies, costs = problem
    flow = cheapest(demands, supplies, costs)
    best = least_cost(demands, supplies, costs)
    other = anyhow(demands, supplies, costs)
    assert (other is None) == (best is None)
    assert other is None or [sum(units) for units in other] == demands
    if flow is None:
        assert best is None
        return
    assert [sum(units) for units in flow] == demands
    assert all(sum(units) <= most for units, most in zip(zip(*flow, strict=True), supplies, strict=True))
    assert sum(n * (costs[d][s] or 0) for d, units in enumerate(flow) for s, n in enumerate(units)) == best


def test_what_was_given_is_taken_back_where_another_has_no_choice() -> None:
    assert cheapest([1, 1], [1, 1], [[0, 9], [0, None]]) == [[0, 1], [1, 0]]


def test_nothing_asked_for_is_served_with_nothing() -> None:
    assert cheapest([], [3], []) == []
    assert cheapest([0], [3], [[1]]) == [[0]]
