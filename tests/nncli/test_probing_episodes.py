"""Episodes of prototypes against a closed form and a recomputation by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from nncli.errors import UsageError
from nncli.probing import Effort, Settings, Task, choose_readers, probe, target_of
from nncli.probing.episodes import accuracies, draw_episodes

EFFORT = Effort(controls=2, orders=0, resamples=500)


def rows_of(x, y, text, *, effort=EFFORT, types=None):
    target, count = target_of(y, "y", source="x"), len(x) * 3 // 4
    places = np.arange(len(x))
    task = Task(
        x=x.astype(np.float64),
        rounding=1e-16,
        train=count,
        folds=(0, count // 2, count),
        targets=(target,),
        values=(target.values,),
        group=places,
        types=places % (len(x) // 10) if types is None else types,
    )
    (one,) = probe(task, [choose_readers([text], target, Settings())], effort)
    return one.rows


@pytest.mark.parametrize("shot", [1, 4])
def test_two_gaussians_on_a_line_have_the_accuracy_of_the_closed_form(shot):
    # by cosine on a line a prototype is a sign, right with a = Phi(m sqrt(K)); a query is right
    # with b = Phi(m); with equal prototypes the class that was drawn first gets all
    # the examples are quantiles, so that chance is in the episodes alone
    m, parts = 0.8, []
    for each in (900, 300):
        normal = norm.ppf((np.arange(each) + 0.5) / each)
        parts += [normal - m, normal + m]
    x, y = np.concatenate(parts)[:, None], np.repeat([0, 1, 0, 1], [900, 900, 300, 300])
    a, b = norm.cdf(m * np.sqrt(shot)), norm.cdf(m)
    wanted = a**2 * b + (1 - a) ** 2 * (1 - b) + a * (1 - a)
    (row,) = rows_of(x, y, f"prototype:way=2,shot={shot},episodes=3000,queries=20")
    assert row["value"] == pytest.approx(wanted, abs=0.02)
    assert row["low"] < wanted < row["high"]
    assert row["baseline"] == 0.5
    assert row["shuffled"] == pytest.approx(0.5, abs=0.03)


def test_episodes_are_those_that_are_computed_one_query_at_a_time():
    r = np.random.default_rng(1)
    train, test = r.standard_normal((60, 7)), r.standard_normal((40, 7))
    known, asked = np.arange(60) % 6, np.arange(40) % 6
    settings = Settings(way=3, shot=2, queries=4)
    drawn = draw_episodes(known, asked, settings, r, count=25)
    found = accuracies(train, test, drawn)
    for episode, (support, queries) in enumerate(zip(drawn.support, drawn.queries, strict=True)):
        classes = [known[one[0]] for one in support]
        assert len(set(classes)) == 3
        hits = 0
        for name, mine, its in zip(classes, support, queries, strict=True):
            assert len(set(mine)) == 2
            assert len(set(its)) == 4
            assert (known[mine] == name).all()
            assert (asked[its] == name).all()
            for query in its:
                cosines = []
                for one in support:
                    mean = (train[one[0]] + train[one[1]]) / 2
                    length = np.linalg.norm(mean) * np.linalg.norm(test[query])
                    cosines.append(mean @ test[query] / length)
                hits += classes[int(np.argmax(cosines))] == name
        assert found[episode] == pytest.approx(hits / 12)


def test_blocks_of_episodes_change_nothing(monkeypatch):
    r = np.random.default_rng(2)
    x, y = r.standard_normal((50, 3)), np.arange(50) % 5
    drawn = draw_episodes(y, y, Settings(way=4, shot=2), r, count=30)
    whole = accuracies(x, x, drawn)
    monkeypatch.setattr("nncli.probing.episodes.BLOCK", 1)
    assert np.array_equal(accuracies(x, x, drawn), whole)


def test_the_interval_over_episodes_has_the_width_of_the_normal_theory():
    r = np.random.default_rng(3)
    y = r.integers(0, 5, 2000)
    x = r.standard_normal((2000, 8)) + 1.2 * np.eye(8)[y]
    (row,) = rows_of(x, y, "prototype:way=5,shot=1,episodes=400,queries=5")
    known, asked = y[:1500], y[1500:]
    told = Settings(way=5, shot=1, queries=5)
    drawn = draw_episodes(known, asked, told, np.random.default_rng(9), count=400)
    rows = (x - x[:1500].mean(0)) / x[:1500].std(0)
    each = accuracies(rows[:1500], rows[1500:], drawn)  # other episodes of the same
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * each.std() / 20, rel=0.2)
    assert row["note"] == "interval over 400 episodes of 5 queries a class"


def test_fewer_queries_than_asked_for_are_said():
    y = np.arange(80) % 4
    x = np.random.default_rng(4).standard_normal((80, 3)) + 5 * np.eye(4)[y][:, :3]
    (row,) = rows_of(x, y, "prototype:way=2")
    assert "5 queries a class" in row["note"]


def test_too_few_examples_of_classes_give_a_reason_and_no_number():
    y = np.arange(80) % 4
    (row,) = rows_of(
        np.random.default_rng(5).standard_normal((80, 3)), y, "prototype:way=3,shot=50"
    )
    assert row.get("value") is None
    assert "fewer than 3 classes have 50 training examples" in row["note"]


def test_other_metrics_than_accuracy_say_that_there_are_none():
    effort = Effort(controls=0, orders=0, resamples=0, metrics=("accuracy", "log-loss"))
    y = np.arange(80) % 4
    x = np.random.default_rng(6).standard_normal((80, 3))
    rows = rows_of(x, y, "prototype:way=2", effort=effort)
    assert rows[1]["note"] == "episodes give no log-loss"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prototype:way=9", "`--reader prototype:way=9,shot=1` wants 9 classes, `y` has 4"),
        ("prototype:way=1", "`way` in `prototype:way=1` must be a whole number, at least 2"),
        ("prototype:shot=5", "says nothing of classes"),
        ("prototype:ways=5", "no setting `ways`, as in `prototype:ways=5`; it has way, shot"),
        ("ridge:way=5", "`ridge` has no setting `way`, as in `ridge:way=5`; it has none"),
        ("knn:neighbours", "`neighbours` in `knn:neighbours` is not NAME=VALUE"),
        ("knn:", "`knn:` names no setting"),
        ("mlp:hidden=2.5", "must be a whole number, at least 1, not `2.5`"),
        ("rigde", "no reader `rigde`; closest: `ridge`"),
    ],
)
def test_readers_that_cannot_be_are_refused_by_what_was_typed(text, message):
    target = target_of(np.arange(8) % 4, "y", source="x")
    with pytest.raises(UsageError) as error:
        choose_readers([text], target, Settings())
    assert message in error.value.message


def test_settings_that_are_the_default_are_not_told_and_readers_come_once():
    target = target_of(np.arange(8) % 4, "y", source="x")
    texts = ["knn", "knn:neighbours=10", "knn:neighbours=3"]
    found = choose_readers(texts, target, Settings())
    assert [one.label for one in found] == ["knn", "knn:neighbours=3"]
    assert found[1].settings.neighbours == 3
