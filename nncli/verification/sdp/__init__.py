"""Semidefinite bounds of ReLU networks by first-order methods, certified in float64.

References:
    Dathathri et al. 2020, Enabling certification of verification-agnostic networks via
    memory-efficient semidefinite programming.
"""
