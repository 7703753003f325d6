"""Episodes: how well a few examples of a few classes tell these classes apart.

Each episode draws classes, some examples of each from the training part, whose means are its
prototypes, and others from the test part, which go to the nearest prototype by cosine. No head is
trained; what an episode gets right is in the representation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing.control_tasks import control_values, shuffled_values
from nncli.probing.features import F64, Index
from nncli.probing.nearest import unit
from nncli.probing.scoring import interval, mean_of
from nncli.probing.settings import Chosen, Settings
from nncli.probing.tasks import Part, Reading

BLOCK = 1 << 22  # numbers of a block of episodes


@dataclass(frozen=True)
class Episodes:
    """Episodes as drawn.

    Attributes:
        support: (episodes, way, shot) rows of the training part; place i of an episode is a class.
        queries: (episodes, way, queries) rows of the test part, of the same classes.
    """

    support: Index
    queries: Index


def draw_episodes(
    known: Index, asked: Index, settings: Settings, chance: np.random.Generator, *, count: int
) -> Episodes | None:
    """Draw classes, and examples of each, without replacement within an episode.

    Args:
        known: (n,) classes of the training part.
        asked: (m,) classes of the test part.
        settings: `way`, `shot` and `queries`; fewer queries if a class has not so many.
        chance: Of the draws.
        count: How many episodes.

    Returns:
        The episodes; `None` if too few classes have `shot` training and one test example.
    """
    some = [one for one in np.unique(asked) if (known == one).sum() >= settings.shot]
    if len(some) < settings.way:
        return None
    rows = [(np.flatnonzero(known == one), np.flatnonzero(asked == one)) for one in some]
    each = min(settings.queries, *(len(there) for _, there in rows))
    support = np.empty((count, settings.way, settings.shot), np.int64)
    queries = np.empty((count, settings.way, each), np.int64)
    for episode in range(count):
        chosen = chance.choice(len(some), settings.way, replace=False)
        for place, one in enumerate(chosen):
            here, there = rows[one]
            support[episode, place] = chance.choice(here, settings.shot, replace=False)
            queries[episode, place] = chance.choice(there, each, replace=False)
    return Episodes(support, queries)


def accuracies(train: F64, test: F64, drawn: Episodes) -> F64:
    """The share of queries of each episode that are nearest to the prototype of their class.

    Args:
        train: (n, d).
        test: (m, d).
        drawn: The episodes.

    Returns:
        (episodes,). Ties go to the class that was drawn first.

    References:
        Raghu, Raghu, Bengio, Vinyals (2020), Rapid learning or feature reuse?
        Snell, Swersky, Zemel (2017), Prototypical networks for few-shot learning.
    """
    rows, (count, way, each) = unit(test), drawn.queries.shape
    found = np.empty(count)
    step = max(1, BLOCK // (way * (each + drawn.support.shape[2]) * train.shape[1]))
    for at in range(0, count, step):
        here = slice(at, at + step)
        means = train[drawn.support[here]].mean(axis=2)
        prototypes = unit(means.reshape(-1, means.shape[2])).reshape(means.shape)
        shown = rows[drawn.queries[here]].reshape(len(means), way * each, -1)
        nearest = np.matmul(shown, prototypes.transpose(0, 2, 1)).argmax(axis=2)
        found[here] = (nearest == np.repeat(np.arange(way), each)).mean(axis=1)
    return found


def episode_rows(reading: Reading, asked: Chosen, part: Part) -> list[dict[str, Any]]:
    """The mean accuracy over episodes and what it is held against, as a row for each metric."""
    effort, target = reading.effort, reading.target
    common: dict[str, Any] = {"target": target.name, "reader": asked.label, "split": part.name}
    common |= {"n": len(part.x), "n_train": len(reading.known)}
    found = []
    for name in effort.metrics or ("accuracy",):
        if name == "accuracy":
            row = _scored(reading, asked.settings, part)
        else:
            row = {"note": f"episodes give no {name}"}
        found.append({**common, "metric": name, **row})
    return found


def _scored(reading: Reading, settings: Settings, part: Part) -> dict[str, Any]:
    effort, values = reading.effort, part.values[0]
    chance = np.random.default_rng([effort.seed, 0x6570])
    drawn = draw_episodes(reading.known, values, settings, chance, count=settings.episodes)
    if drawn is None:
        return {
            "note": f"fewer than {settings.way} classes have {settings.shot} training examples "
            f"and one in `{part.name}`"
        }
    each = accuracies(reading.data.x, part.x, drawn)
    told = {"resamples": effort.resamples, "seed": effort.seed}
    score = interval(mean_of(each), np.arange(len(each)), proportion=True, **told)
    row: dict[str, Any] = {"value": score.value, "low": score.low, "high": score.high}
    row["baseline"] = 1 / settings.way
    row |= _chance(reading, settings, part)
    if "control" in row:
        row["selectivity"] = row["value"] - row["control"]
    queries = drawn.queries.shape[2]
    note = f"interval over {len(each)} episodes of {queries} queries a class"
    return {**row, "note": note}


def _chance(reading: Reading, settings: Settings, part: Part) -> dict[str, float]:
    """Episodes of shuffled values and of control tasks, as many over all draws together."""
    effort, train = reading.effort, reading.task.train
    if not effort.controls or part.types is None:
        return {}
    told: dict[str, Any] = {"draws": effort.controls, "seed": effort.seed}
    known = np.isin(part.types, reading.task.types[:train])
    tasks: dict[str, list[tuple[NDArray[Any], NDArray[Any], F64]]] = {
        "shuffled": [
            (one, part.values[0], part.x) for one in shuffled_values(reading.known, **told)
        ],
        "control": [
            (one[:train], one[train:][known], part.x[known])
            for one in control_values(reading.values, reading.task.types, **told)
        ],
    }
    found = {}
    for name, several in tasks.items():
        scores = []
        for place, (support, queries, x) in enumerate(several):
            chance = np.random.default_rng([effort.seed, place, 0x6570])
            count = -(-settings.episodes // effort.controls)
            drawn = draw_episodes(support, queries, settings, chance, count=count)
            if drawn is not None:
                scores.append(float(accuracies(reading.data.x, x, drawn).mean()))
        if scores:
            found[name] = float(np.mean(scores))
    return found
