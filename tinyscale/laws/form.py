"""The law itself: what loss N parameters reach on D tokens."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Chinchilla(NamedTuple):
    """Parameters of loss = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, equation 2)."""

    E: float
    """Floor: the entropy of the text, in the unit of the loss."""
    A: float
    """Scale of what a finite model misses."""
    B: float
    """Scale of what finite data leave unlearned."""
    alpha: float
    """Exponent of N."""
    beta: float
    """Exponent of D."""


def predict(
    E: ArrayLike, A: ArrayLike, B: ArrayLike, alpha: ArrayLike, beta: ArrayLike, *, N: ArrayLike, D: ArrayLike
) -> Floats:
    """Loss of the law at N parameters and D tokens, in the unit of E; all arguments broadcast.

    ``predict(*parameters, N=N, D=D)`` for one :class:`Chinchilla`; for draws of shape (draws, 5),
    ``predict(*draws.T[:, :, None], N=N, D=D)`` has shape (draws, points).
    """
    n, d = np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64)
    model_term = np.asarray(A) * n ** -np.asarray(alpha)
    data_term = np.asarray(B) * d ** -np.asarray(beta)
    loss: Floats = np.asarray(E) + model_term + data_term
    return loss
