"""The least robust-loss fit of a floor plus a sum of power laws, the shape that every law here has.

Shapes: n points, K inputs in J power-law terms (each input a term of its own, J = K, unless told otherwise);
p = 1 + J + K parameters. A parameter vector holds, in this order, the log of the floor, the J logs of the terms at the
inputs' geometric mean, and the K exponents:

    log_prediction_n = log(exp(floor) + sum_j exp(log_term_j - sum_(k in j) exponent_k * x_nk)),   x_nk = centred log
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, nnls
from threadpoolctl import threadpool_limits

from tinyscale.laws.form import Floats

HUBER_DELTA = 1e-3
"""Log residual from which the loss grows linearly (Hoffmann et al. 2022, appendix D.3)."""
EXPONENT_BOUNDS = (0.01, 3.0)
"""Exponents are sought in here; published ones of language models lie in 0.05 .. 1."""
NOTHING = 1e-6
"""A floor or term this small beside the smallest loss is the smallest sought: it stands for zero."""
START_SHARE = 0.02
"""Every start gives floor and terms at least this share of the smallest loss: at zero their gradient vanishes."""
STARTS = 5
"""Grid points from which the search descends."""


@dataclass(frozen=True)
class Problem:
    """Points to be fitted, with the inputs' logs centred so that terms and exponents hardly trade off."""

    x_nk: Floats
    """Centred logs of the inputs, (n, K)."""
    center_k: Floats
    """Means of the logs that were taken off, (K,)."""
    log_loss_n: Floats
    """Logs of the losses, (n,)."""
    in_term_kj: Floats
    """1 where an input is in a term, else 0, (K, J)."""

    @classmethod
    def of(cls, inputs_nk: Floats, loss_n: Floats, terms: Sequence[int] | None = None) -> "Problem":
        """From positive inputs (n, K) and losses (n,).

        :param terms: the term of each input, counted from 0; None: each input has its own.
        """
        logs_nk = np.log(inputs_nk)
        center_k = logs_nk.mean(axis=0)
        of_k = range(logs_nk.shape[1]) if terms is None else terms
        return cls(logs_nk - center_k, center_k, np.log(loss_n), np.eye(max(of_k) + 1)[list(of_k)])

    @property
    def terms(self) -> int:
        """J."""
        return len(self.in_term_kj.T)

    def bounds(self, log_losses: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest value sought of each parameter, (p,) each, for losses of any shape."""
        low, high = float(log_losses.min()) + np.log(NOTHING), float(log_losses.max()) + 10.0
        sizes, inputs = 1 + self.terms, self.x_nk.shape[1]
        low_p, high_p = [low] * sizes + [EXPONENT_BOUNDS[0]] * inputs, [high] * sizes + [EXPONENT_BOUNDS[1]] * inputs
        return np.array(low_p), np.array(high_p)

    def residuals(self, theta_p: Floats) -> Floats:
        """Log prediction less log loss, (n,)."""
        return self._predict(theta_p)[0] - self.log_loss_n

    def jacobian(self, theta_p: Floats) -> Floats:
        """Derivatives of the log prediction by the parameters, (n, p)."""
        shares_nc = self._predict(theta_p)[1]
        return np.hstack([shares_nc, -self.x_nk * (shares_nc[:, 1:] @ self.in_term_kj.T)])

    def natural(self, theta_p: Floats) -> tuple[float, Floats, Floats]:
        """Floor, coefficients (J,) and exponents (K,) in the user's units."""
        log_terms_j, exponents_k = theta_p[1 : 1 + self.terms], theta_p[1 + self.terms :]
        coefficients_j = np.exp(log_terms_j + (exponents_k * self.center_k) @ self.in_term_kj)
        return float(np.exp(theta_p[0])), coefficients_j, exponents_k

    def objective(self, theta_p: Floats, weights_n: Floats) -> tuple[float, Floats]:
        """Weighted sum of Huber(delta) of the log residuals, over delta^2, and its gradient (p,).

        The sum, not the mean: on the mean, L-BFGS takes the small gradient for convergence and stops early
        (Besiroglu et al. 2024). Over delta^2 for the same reason.
        """
        log_prediction_n, shares_nc = self._predict(theta_p)
        r_n = (log_prediction_n - self.log_loss_n) / HUBER_DELTA
        slope_n = np.clip(r_n, -1.0, 1.0)
        value = float(weights_n @ (slope_n * (r_n - 0.5 * slope_n)))
        pull_nc = (weights_n * slope_n)[:, None] * shares_nc / HUBER_DELTA
        pull_nk = pull_nc[:, 1:] @ self.in_term_kj.T
        return value, np.concatenate([pull_nc.sum(axis=0), -(pull_nk * self.x_nk).sum(axis=0)])

    def descend(self, start_p: Floats, weights_n: Floats, *, rounds: int = 1) -> tuple[Floats, float]:
        """L-BFGS from a start: the minimum and its objective. Each round begins with a fresh curvature estimate."""
        bounds = list(zip(*self.bounds(self.log_loss_n), strict=True))
        theta_p, best = start_p, np.inf
        for _ in range(rounds):
            found = minimize(
                self.objective, theta_p, args=(weights_n,), jac=True, method="L-BFGS-B", bounds=bounds,
                options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 20},
            )  # fmt: skip
            if not found.fun < best * (1 - 1e-13):
                break
            theta_p, best = found.x, float(found.fun)
        return theta_p, best

    def lifted(self, theta_p: Floats) -> Floats:
        """A start from which a floor or term that is as good as zero can grow again."""
        sizes = 1 + self.terms
        least = self.log_loss_n.min() + np.log(START_SHARE)
        return np.concatenate([np.maximum(theta_p[:sizes], least), theta_p[sizes:]])

    def grid_starts(self, count: int, *, per_axis: int = 15) -> list[Floats]:
        """Variable projection (Golub & Pereyra 1973): on a grid of exponents the law is linear in floor and terms,
        so non-negative least squares of the relative errors gives them; the best ``count`` by the Huber objective.
        """
        count_n, inputs = self.x_nk.shape
        ones_n = np.ones(count_n)
        loss_n = np.exp(self.log_loss_n)
        axis = np.geomspace(0.05, 2.0, per_axis)
        scored: list[tuple[float, Floats]] = []
        for exponents in itertools.product(axis, repeat=inputs):
            columns = np.column_stack([ones_n, np.exp(-self.x_nk * exponents @ self.in_term_kj)]) / loss_n[:, None]
            sizes, _ = nnls(columns, ones_n)
            theta_p = self.lifted(np.concatenate([np.log(np.maximum(sizes, NOTHING)), exponents]))
            scored.append((self.objective(theta_p, ones_n)[0], theta_p))
        scored.sort(key=lambda pair: pair[0])
        return [theta_p for _, theta_p in scored[:count]]

    def solve(self) -> tuple[Floats, float]:
        """The minimum over all starts: parameters (p,) and the sum of Huber of the log residuals."""
        ones_n = np.ones(len(self.log_loss_n))
        # On problems this small L-BFGS's threads only wait for one another: 9 s became 1.4 s on two busy cores.
        with threadpool_limits(1, user_api="blas"):
            found = [self.descend(start_p, ones_n, rounds=20) for start_p in self.grid_starts(STARTS)]
        theta_p, value = min(found, key=lambda pair: pair[1])
        return theta_p, value * HUBER_DELTA**2

    def _predict(self, theta_p: Floats) -> tuple[Floats, Floats]:
        """Log prediction (n,) and the share of floor and terms in it (n, 1 + J)."""
        logs_nc = np.empty((len(self.x_nk), 1 + self.terms))
        logs_nc[:, 0] = theta_p[0]
        logs_nc[:, 1:] = theta_p[1 : 1 + self.terms] - self.x_nk * theta_p[1 + self.terms :] @ self.in_term_kj
        top_n = logs_nc.max(axis=1)
        parts_nc = np.exp(logs_nc - top_n[:, None])
        sum_n = parts_nc.sum(axis=1)
        return top_n + np.log(sum_n), parts_nc / sum_n[:, None]
