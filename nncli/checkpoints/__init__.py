"""Checkpoints of every kind as networks that are ready to run.

`resolve` takes one checkpoint; `expand` turns series into their members first.
"""

from nncli.checkpoints.model import Model, pick_device
from nncli.checkpoints.resolving import resolve
from nncli.checkpoints.series import Member, expand, series

__all__ = ["Member", "Model", "expand", "pick_device", "resolve", "series"]
