"""The compute-optimal frontier of a law, in closed form."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyscale.laws.form import Chinchilla, Floats, predict
from tinyscale.spec import LawFit


@dataclass(frozen=True)
class Frontier:
    """The best split of a budget C = 6 N D between model size N and tokens D (Hoffmann et al. 2022, equation 4).

    With D = C / (6 N) the loss E + A N^-alpha + B (6 N / C)^beta has its minimum where the two terms pull alike,
    alpha A N^-alpha = beta B D^-beta. Solved for N and D:

        N* = G (C/6)^a,   D* = (C/6)^b / G,   G = (alpha A / (beta B))^(1 / (alpha + beta)),
        a = beta / (alpha + beta),   b = alpha / (alpha + beta) = 1 - a.

    C counts 6 FLOPs a parameter and token (Kaplan et al. 2020), for whichever N the law was fitted on; the FLOPs of
    a real model with attention and embeddings differ, most of all for tiny ones.
    """

    law: Chinchilla

    @property
    def a(self) -> float:
        """Exponent of N* in C."""
        return self.law.beta / (self.law.alpha + self.law.beta)

    @property
    def b(self) -> float:
        """Exponent of D* in C."""
        return self.law.alpha / (self.law.alpha + self.law.beta)

    @property
    def G(self) -> float:  # noqa: N802 - the paper's name
        """Scale of N*."""
        _, A, B, alpha, beta = self.law
        return float((alpha * A / (beta * B)) ** (1.0 / (alpha + beta)))

    def params(self, C: ArrayLike) -> Floats:
        """N*(C): the best model size for C FLOPs."""
        best: Floats = self.G * (np.asarray(C, dtype=np.float64) / 6.0) ** self.a
        return best

    def tokens(self, C: ArrayLike) -> Floats:
        """D*(C): the tokens that go with it."""
        best: Floats = (np.asarray(C, dtype=np.float64) / 6.0) ** self.b / self.G
        return best

    def loss(self, C: ArrayLike) -> Floats:
        """L*(C): the least loss that C FLOPs reach."""
        return predict(*self.law, N=self.params(C), D=self.tokens(C))


def frontier(fit: LawFit) -> Frontier:
    """The frontier of a fitted law."""
    return Frontier(Chinchilla(fit.E, fit.A, fit.B, fit.alpha, fit.beta))


def draw_frontiers(fit: LawFit) -> list[Frontier]:
    """The frontier of each bootstrap draw."""
    return [Frontier(Chinchilla(*draw)) for draw in fit.draws]


def frontier_exponents(draws: NDArray[np.float64]) -> Floats:
    """The exponent a of each draw of (E, A, B, alpha, beta), (draws,)."""
    alpha, beta = draws[:, 3], draws[:, 4]
    exponents: Floats = beta / (alpha + beta)
    return exponents
