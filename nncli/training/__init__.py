"""Training of small networks, one or many, each determined by its own seed and options."""

from nncli.training.choices import Choices
from nncli.training.evaluation import Examples, Score, evaluate
from nncli.training.fit import demand_fit
from nncli.training.intervals import demand_intervals
from nncli.training.labels import part_rows, with_label_noise
from nncli.training.loop import train
from nncli.training.members import Arrays, Member, Snapshot, Task, snapshots
from nncli.training.optimizers import LEARNING_RATES, OPTIMIZERS, WEIGHT_DECAYS
from nncli.training.recipe import Adversary, Intervals, Recipe
from nncli.training.workers import side_by_side

__all__ = [
    "LEARNING_RATES",
    "OPTIMIZERS",
    "WEIGHT_DECAYS",
    "Adversary",
    "Arrays",
    "Choices",
    "Examples",
    "Intervals",
    "Member",
    "Recipe",
    "Score",
    "Snapshot",
    "Task",
    "demand_fit",
    "demand_intervals",
    "evaluate",
    "part_rows",
    "side_by_side",
    "snapshots",
    "train",
    "with_label_noise",
]
