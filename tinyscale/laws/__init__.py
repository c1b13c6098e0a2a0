"""Scaling laws: fits, intervals, frontiers and forecasts. Usable alone, on any table of N, D and loss."""

from tinyscale.laws.chinchilla import ChinchillaFit, fit_chinchilla
from tinyscale.laws.fit import fit_points
from tinyscale.laws.form import Chinchilla, predict

__all__ = ["Chinchilla", "ChinchillaFit", "fit_chinchilla", "fit_points", "predict"]
