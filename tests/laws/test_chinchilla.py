"""The fit of E + A/N^alpha + B/D^beta: reaches the minimum, and refuses tables that carry no law."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import approx_fprime, minimize

from tinyscale.laws import Chinchilla, fit_chinchilla, predict
from tinyscale.laws.bootstrap import bootstrap
from tinyscale.laws.solver import Problem

Floats = NDArray[np.float64]
TRUTH = Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def chinchilla_like_runs(count: int = 240) -> tuple[Floats, Floats, Floats]:
    """Runs at the sizes and budgets of Hoffmann et al. 2022, with heavy-tailed noise of about half a percent."""
    generator = np.random.default_rng(7)
    N = np.exp(generator.uniform(np.log(6e7), np.log(1.2e10), count))
    D = np.exp(generator.uniform(np.log(1e9), np.log(3e11), count))
    return N, D, predict(*TRUTH, N=N, D=D) * np.exp(0.003 * generator.standard_t(3, count))


def huber_sum(theta: Floats, N: Floats, D: Floats, loss: Floats) -> float:
    """The objective written out: e, a, b are logs of E, A, B."""
    e, a, b, alpha, beta = theta
    residual = np.abs(np.log(predict(np.exp(e), np.exp(a), np.exp(b), alpha, beta, N=N, D=D)) - np.log(loss))
    delta = 1e-3
    return float(np.sum(np.where(residual <= delta, residual**2 / 2, delta * (residual - delta / 2))))


def test_exact_data_give_the_law_back() -> None:
    N, D = (axis.ravel() for axis in np.meshgrid([2e4, 4e4, 8e4, 2e5], [2.5e5, 1e6, 2e6]))
    fit = fit_chinchilla(N, D, predict(*TRUTH, N=N, D=D))
    np.testing.assert_allclose(fit.parameters, TRUTH, rtol=1e-3)
    assert fit.residual_rms < 1e-7


def test_reaches_the_minimum_of_the_plain_objective() -> None:
    runs = chinchilla_like_runs()
    fit = fit_chinchilla(*runs)
    E, A, B, alpha, beta = fit.parameters
    found = np.array([np.log(E), np.log(A), np.log(B), alpha, beta])
    assert fit.objective == pytest.approx(huber_sum(found, *runs), rel=1e-9)

    truth = np.array([np.log(TRUTH.E), np.log(TRUTH.A), np.log(TRUTH.B), TRUTH.alpha, TRUTH.beta])
    for start in (truth, found, truth * 1.05):
        options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-10, "fatol": 1e-16}
        other = minimize(huber_sum, start, args=runs, method="Nelder-Mead", options=options)
        assert fit.objective <= other.fun * (1 + 1e-10)
    np.testing.assert_allclose(fit.parameters[3:], TRUTH[3:], atol=0.03)


def test_gradient_is_the_objective_s() -> None:
    N, D, loss = chinchilla_like_runs(40)
    problem = Problem.of(np.column_stack([N, D]), loss)
    weights = np.random.default_rng(0).integers(0, 3, 40).astype(np.float64)
    theta = np.array([0.5, -1.0, -1.2, 0.3, 0.45])
    numeric = approx_fprime(theta, lambda x: problem.objective(x, weights)[0], 1e-7)
    np.testing.assert_allclose(problem.objective(theta, weights)[1], numeric, rtol=1e-4)


def test_golden_chinchilla_data() -> None:
    """The 240 runs of Besiroglu et al. 2024: the minimum of their objective."""
    path = Path(os.environ.get("TINYSCALE_CHINCHILLA_CSV", ""))
    if not path.is_file():
        pytest.skip("TINYSCALE_CHINCHILLA_CSV names no file (svg_extracted_data.csv of Besiroglu et al. 2024)")
    with path.open() as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: float(row["loss"]))[:240]
    N, C, loss = (np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss"))
    fit = fit_chinchilla(N, C / (6 * N), loss)
    assert fit.objective == pytest.approx(0.00101827402, rel=1e-8)
    assert fit.objective <= 0.0010182740178006034 * (1 + 1e-10)
    np.testing.assert_allclose(fit.parameters, (1.81722, 477.8, 2143, 0.34731, 0.36717), rtol=2e-4)
    # Their standard errors, by a bootstrap of 4,000 draws.
    errors = bootstrap(fit, [str(row) for row in range(240)]).std(axis=0)
    np.testing.assert_allclose(errors, (0.026, 125, 1293, 0.015, 0.021), rtol=0.15)


def small_table() -> dict[str, list[float]]:
    N, D = (axis.ravel() for axis in np.meshgrid([2e4, 4e4, 8e4], [2.5e5, 1e6, 2e6]))
    return {"N": list(N), "D": list(D), "loss": list(predict(*TRUTH, N=N, D=D))}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("loss", float("nan"), "loss is not finite in 1 of 9 rows, first in row 3"),
        ("D", float("inf"), "D is not finite"),
        ("N", 0.0, "N is not positive"),
        ("loss", -1.0, "loss is not positive"),
    ],
)
def test_refuses_impossible_numbers(column: str, value: float, words: str) -> None:
    table = small_table()
    table[column][3] = value
    with pytest.raises(ValueError, match=words):
        fit_chinchilla(**table)


def test_refuses_repeated_runs_unless_seeds_tell_them_apart() -> None:
    table = {name: [*column, column[0]] for name, column in small_table().items()}
    with pytest.raises(ValueError, match=r"N = 20000, D = 250000 stands in 2 rows.*seed"):
        fit_chinchilla(**table)
    with pytest.raises(ValueError, match="with seed 0 stands in 2 rows"):
        fit_chinchilla(**table, seed=[0] * 10)
    fit_chinchilla(**table, seed=[0] * 9 + [1])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], r"0 distinct point\(s\).*3 more distinct model size"),
        ([0, 4, 8], r"add at least 2 more distinct point"),
        ([0, 1, 3, 4, 6, 7], "1 more distinct model size"),
        ([0, 1, 2, 3, 4, 5], "1 more distinct token budget"),
    ],
)
def test_refuses_too_little_variety_and_says_what_to_add(rows: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_chinchilla(**{name: [column[row] for row in rows] for name, column in small_table().items()})


def test_refuses_a_constant_loss_and_ragged_columns() -> None:
    table = small_table()
    with pytest.raises(ValueError, match="constant"):
        fit_chinchilla(table["N"], table["D"], [2.0] * 9)
    with pytest.raises(ValueError, match="one length"):
        fit_chinchilla(table["N"], table["D"], [2.0] * 8)
