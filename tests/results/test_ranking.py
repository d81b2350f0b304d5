"""A rank is what people quote: it must not come from noise, and must not hide a real difference."""

import numpy as np
import pytest

from results.ranking import rank


def medians(rng: np.random.Generator, rounds: int = 8, level: float = 1e7, noise: float = 0.01) -> dict[int, float]:
    return dict(enumerate((level * np.exp(noise * rng.standard_normal(rounds))).tolist()))


@pytest.mark.parametrize("cells", [2, 3, 8])
def test_identical_cells_tie(cells: int) -> None:
    # Otherwise a table of equals has a winner in every run, and another one each time.
    rng = np.random.default_rng(21)
    tied = 0
    for _ in range(2000):
        tied += set(rank({f"c{k}": medians(rng) for k in range(cells)}).values()) == {1}
    assert tied / 2000 >= 0.95 - 0.015  # nominal for two cells, less three standard errors of this count


def test_five_percent_shows_after_eight_rounds() -> None:
    rng = np.random.default_rng(22)
    ranks = [rank({"slow": medians(rng, level=1.05e7), "fast": medians(rng)}) for _ in range(200)]
    assert np.mean([r == {"fast": 1, "slow": 2} for r in ranks]) >= 0.99


def test_five_percent_shows_in_a_table_of_twenty() -> None:
    # The correction for 190 pairs must not cost so much that a large suite ranks nothing.
    rng = np.random.default_rng(23)
    cells = {f"fast{k:02}": medians(rng) for k in range(10)} | {
        f"slow{k:02}": medians(rng, level=1.1e7) for k in range(10)
    }
    ranks = rank(cells)
    assert {ranks[c] for c in cells if c.startswith("fast")} == {1}
    assert {ranks[c] for c in cells if c.startswith("slow")} == {11}


def test_a_chain_of_small_steps_does_not_tie_the_slowest_with_the_fastest() -> None:
    rng = np.random.default_rng(24)
    cells = {f"c{k}": medians(rng, level=1e7 * 1.012**k, noise=0.005) for k in range(8)}
    ranks = rank(cells)
    assert ranks["c7"] > ranks["c0"] == 1
    # There were ties to chain by.
    assert len(set(ranks.values())) < len(ranks)


def test_ranks_count_the_cells_before_like_in_a_race() -> None:
    flat = dict.fromkeys(range(4), 1.0)
    cells = {"c": flat, "a": flat, "b": dict.fromkeys(flat, 2.0), "d": dict.fromkeys(flat, 3.0)}
    assert rank(cells) == {"a": 1, "c": 1, "b": 3, "d": 4}


def test_a_cell_with_one_round_is_not_called_slower() -> None:
    rng = np.random.default_rng(25)
    assert rank({"new": {0: 2e7}, "old": medians(rng)}) == {"old": 1, "new": 1}


def test_a_noisy_cell_shares_the_rank_it_cannot_be_denied() -> None:
    rng = np.random.default_rng(26)
    noisy = {0: 0.7e7, 1: 1.9e7, 2: 1.0e7, 3: 1.6e7, 4: 0.9e7, 5: 1.8e7, 6: 1.1e7, 7: 1.5e7}
    ranks = rank({"fast": medians(rng), "steady": medians(rng, level=1.1e7), "noisy": noisy})
    assert ranks == {"fast": 1, "noisy": 1, "steady": 3}


def test_rounds_in_common_are_paired() -> None:
    # Half the rounds ran on a busy machine; both cells felt it alike.
    busy = [1.0, 1.5, 1.0, 1.6, 1.1, 1.4, 1.0, 1.5]
    fast = {k: 1e7 * f for k, f in enumerate(busy)}
    slow = {k: v * (1.02 + 0.002 * (k % 3)) for k, v in fast.items()}
    assert rank({"fast": fast, "slow": slow}) == {"fast": 1, "slow": 2}


def test_none_and_one() -> None:
    assert rank({}) == {}
    assert rank({"only": {3: 1e7}}) == {"only": 1}


@pytest.mark.parametrize("bad", [{}, {0: 0.0}, {0: -1.0}, {0: float("nan")}, {0: float("inf")}])
def test_a_cell_without_a_time_is_named(bad: dict[int, float]) -> None:
    # A wrong or failed cell must never enter the order with a made-up time.
    with pytest.raises(ValueError, match="cell broken"):
        rank({"fine": {0: 1.0, 1: 1.0}, "broken": bad})
