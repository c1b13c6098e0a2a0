"""The law of three terms, and what turns a vocabulary into bytes and a size into a width."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinyscale.laws.form import Floats
from tinyscale.spec import VocabularyLaw


class Terms(NamedTuple):
    """Parameters of bpb = E + A1 / N_nv^alpha1 + A2 / (V d)^alpha2 + B / bytes^beta.

    After approach 3 of Tao et al. 2024, with two changes: the loss is in bits per byte, which any vocabularies share,
    where theirs is normalised by the unigram loss; and the data are bytes of text, where theirs are tokens, whose
    worth depends on the vocabulary.
    """

    E: float
    """Floor: the entropy of the text, bits per byte."""
    A1: float
    """Scale of what finite non-vocabulary parameters miss."""
    alpha1: float
    A2: float
    """Scale of what finite vocabulary parameters miss."""
    alpha2: float
    B: float
    """Scale of what finite text leaves unlearned."""
    beta: float


def terms_of(law: VocabularyLaw) -> Terms:
    """The parameters of a fitted law."""
    return Terms(law.E, law.A1, law.alpha1, law.A2, law.alpha2, law.B, law.beta)


def draws_of(law: VocabularyLaw) -> Floats:
    """The optimum and, behind it, the bootstrap draws, (1 + draws, 7)."""
    return np.array([terms_of(law), *law.draws])


def predict_bpb(
    theta_d7: Floats, params_non_vocab: ArrayLike, vocab_params: ArrayLike, text_bytes: ArrayLike
) -> Floats:
    """Loss of each law at each run, in bits per byte, (d, m).

    :param theta_d7: laws, each in the order of :class:`Terms`, (d, 7).
    :param params_non_vocab: N_nv, a number, (m,) or (d, m), as the other two.
    :param vocab_params: V d.
    :param text_bytes: UTF-8 bytes of training text.
    """
    n, v, t = (np.log(np.asarray(x, dtype=np.float64)) for x in (params_non_vocab, vocab_params, text_bytes))
    E, A1, alpha1, A2, alpha2, B, beta = theta_d7.T[:, :, None]
    loss: Floats = E + A1 * np.exp(-alpha1 * n) + A2 * np.exp(-alpha2 * v) + B * np.exp(-beta * t)
    return loss


def bytes_per_token(coefficients: tuple[float, float, float], log_vocab: ArrayLike) -> Floats:
    """f(V) = c0 + c1 ln V + c2 ln^2 V, the form of Tao et al. 2024, at ln V.

    Beyond the top of a parabola that opens downward it is held there: more tokens never make a text longer.
    """
    c0, c1, c2 = coefficients
    x = np.asarray(log_vocab, dtype=np.float64)
    if c2 < 0:
        x = np.minimum(x, -c1 / (2 * c2))
    found: Floats = c0 + c1 * x + c2 * x**2
    return found


def fit_bytes_per_token(vocab_sizes: Floats, per_token: Floats) -> tuple[float, float, float]:
    """c0, c1, c2 by least squares over the vocabularies, each of which counts once; three or more of them."""
    sizes, first = np.unique(vocab_sizes, return_index=True)
    c2, c1, c0 = np.polyfit(np.log(sizes), per_token[first], 2)
    return float(c0), float(c1), float(c2)


def fit_width(params_non_vocab: Floats, hidden: Floats) -> tuple[float, float]:
    """w0, w1 of ln d = w0 + w1 ln N_nv by least squares over the shapes, each of which counts once.

    At a fixed depth w1 is near 1/2; where depth grows with width, near 1/3.
    """
    shapes = np.unique(np.column_stack([params_non_vocab, hidden]), axis=0)
    log_n, log_d = np.log(shapes).T
    w1, w0 = np.polyfit(log_n, log_d, 1)
    return float(w0), float(w1)
