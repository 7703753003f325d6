"""Readers of activations: what is readable in a layer, and what that is worth."""

from nncli.probing.applying import Application, coded
from nncli.probing.control_tasks import cells
from nncli.probing.designs import Design, designs, groups_of, types_of
from nncli.probing.learning_order import learning_order
from nncli.probing.partition import Partition, divide, together
from nncli.probing.pipeline import probe
from nncli.probing.readers import READERS, choose_readers
from nncli.probing.scoring import METRICS, demand_metrics, losses_of, told
from nncli.probing.settings import PENALTIES, Chosen, Settings
from nncli.probing.study import Elsewhere, probe_layer
from nncli.probing.survey import Survey, trained_on
from nncli.probing.targets import Target, target_of
from nncli.probing.tasks import Effort, Outcome, Part, Task

__all__ = [
    "METRICS",
    "PENALTIES",
    "READERS",
    "Application",
    "Chosen",
    "Design",
    "Effort",
    "Elsewhere",
    "Outcome",
    "Part",
    "Partition",
    "Settings",
    "Survey",
    "Target",
    "Task",
    "cells",
    "choose_readers",
    "coded",
    "demand_metrics",
    "designs",
    "divide",
    "groups_of",
    "learning_order",
    "losses_of",
    "probe",
    "probe_layer",
    "target_of",
    "together",
    "told",
    "trained_on",
    "types_of",
]
