"""Scaling laws: fits, intervals, frontiers and forecasts. Usable alone, on any table of N, D and loss.

``fit_columns(N, D, loss)`` gives the law with its intervals, and :func:`tinyscale.laws.forecast.forecast` what it says
of a run.
"""

from tinyscale.laws.chinchilla import ChinchillaFit, fit_chinchilla
from tinyscale.laws.fit import fit_columns, fit_points
from tinyscale.laws.form import Chinchilla, predict

__all__ = ["Chinchilla", "ChinchillaFit", "fit_chinchilla", "fit_columns", "fit_points", "predict"]
