"""Formulas as networks of `verify_families.py`, which a solver of formulas decides as well."""

from itertools import product

import numpy as np
from verify_family_cases import Case, dense


def satisfiable(clauses):
    """Whether a formula has a solution: unit propagation and splitting."""

    def solve(clauses):
        while True:
            units = {clause[0] for clause in clauses if len(clause) == 1}
            if any(-one in units for one in units):
                return False
            if not units:
                break
            left = []
            for clause in clauses:
                if units.isdisjoint(clause):
                    shorter = tuple(one for one in clause if -one not in units)
                    if not shorter:
                        return False
                    left.append(shorter)
            clauses = left
        if not clauses:
            return True
        counts = {}
        for clause in clauses:
            for one in clause:
                counts[one] = counts.get(one, 0) + 4.0 ** -len(clause)
        best = max(counts, key=lambda one: (counts[one] + counts.get(-one, 0), one))
        return solve([*clauses, (best,)]) or solve([*clauses, (-best,)])

    return solve([tuple(one) for one in clauses])


def formula_network(clauses, count):
    """Y_0 = 1 - the clauses missed, Y_1 = how far inputs are from 0 and 1: one layer of ReLUs."""
    rows, biases = [], []
    for clause in clauses:
        row = np.zeros(count)
        for one in clause:
            row[abs(one) - 1] = -np.sign(one)
        rows.append(row)
        biases.append(1 - sum(one < 0 for one in clause))
    first = np.vstack([rows, np.eye(count), 2 * np.eye(count)])
    bias = np.concatenate([biases, np.zeros(count), -np.ones(count)])
    second = np.zeros((2, len(bias)))
    second[0, : len(clauses)] = -1
    second[1, len(clauses) : len(clauses) + count] = 1
    second[1, len(clauses) + count :] = -1
    return dense([(first, bias), (second, np.array([1.0, 0.0]))])


def deep_formula_network(clauses, count):
    """- sum over clauses of relu(0.6 - the greatest literal): not negative only at a solution."""

    def literal(one, width=count):
        row = np.zeros(width)
        row[abs(one) - 1] = np.sign(one)
        return row, float(one < 0)

    first, second, third = [], [], []
    size = len(clauses)
    for place, clause in enumerate(clauses):
        (a, p), (b, q), (c, r) = (literal(clause[k % len(clause)]) for k in range(3))
        first += [(a - b, p - q), (b, q), (c, r)]
        greater, last = np.zeros(3 * size), np.zeros(3 * size)
        greater[3 * place : 3 * place + 2], last[3 * place + 2] = 1, 1
        second += [(greater - last, 0.0), (last, 0.0)]
        most = np.zeros(2 * size)
        most[2 * place : 2 * place + 2] = -1
        third.append((most, 0.6))
    layers = [
        (np.array([w for w, _ in one]), np.array([b for _, b in one]))
        for one in (first, second, third)
    ]
    return dense([*layers, (-np.ones((1, size)), np.zeros(1))])


def random_clauses(generator, count, clauses, planted=None):
    found = []
    while len(found) < clauses:
        which = generator.choice(count, 3, replace=False) + 1
        signs = generator.choice([-1, 1], 3)
        clause = tuple(int(one) for one in which * signs)
        if planted is None or any(planted[abs(one) - 1] == (one > 0) for one in clause):
            found.append(clause)
    return found


def resolved_clauses(generator, count, clauses):
    """An unsatisfiable formula: clauses of a contradiction, widened by variables one by one."""
    found = [(1,), (-1,)]
    while len(found) < clauses:
        weights = 1 / np.array([len(one) for one in found])
        place = int(generator.choice(len(found), p=weights / weights.sum()))
        free = [one + 1 for one in range(count) if one + 1 not in map(abs, found[place])]
        if free:
            new = int(generator.choice(free))
            found.append((*found[place], -new))
            found[place] = (*found[place], new)
    return found


def wide_clauses(generator, count, clauses):
    """A satisfiable formula of clauses of all lengths."""
    truth, found = generator.random(count) < 0.5, set()
    while len(found) < clauses:
        which = generator.choice(count, generator.integers(1, max(2, count)), replace=False)
        signs = generator.random(len(which)) < 0.5
        if (truth[which] == signs).any():
            found.add(tuple(int(i + 1 if s else -i - 1) for i, s in zip(which, signs, strict=True)))
    return sorted(found)


def formulas():
    """Formulas as networks; `violated` is `satisfiable`."""
    generator = np.random.default_rng(7)
    made = {}
    for count, clauses in ((10, 33), (26, 113), (46, 218), (59, 92), (78, 364), (100, 103)):
        made[f"wide_v{count}_c{clauses}"] = count, wide_clauses(generator, count, clauses)
        made[f"resolved_v{count}_c{clauses}"] = count, resolved_clauses(generator, count, clauses)
    for count, ratio in product((12, 20, 30, 50, 75), (3.5, 4.3, 5.5)):
        clauses = round(count * ratio)
        made[f"random_v{count}_c{clauses}"] = count, random_clauses(generator, count, clauses)
    for count in (30, 60, 100):
        truth = generator.random(count) < 0.5
        clauses = round(4.2 * count)
        made[f"planted_v{count}_c{clauses}"] = (
            count,
            random_clauses(generator, count, clauses, truth),
        )
    cases = []
    for name, (count, clauses) in made.items():
        expected = "violated" if satisfiable(clauses) else "verified"
        box = np.zeros(count), np.ones(count)
        conditions = (0, ">=", 1.0), (1, "<=", 0.0)
        cases.append(Case(name, formula_network(clauses, count), ((box, conditions),), expected))
        if count <= 30 and max(map(len, clauses)) <= 3:
            deep = deep_formula_network(clauses, count)
            cases.append(Case(f"deep_{name}", deep, ((box, ((0, ">=", 0.0),)),), expected))
    return cases
