"""Specifications in our own words: what each statement means, and what is refused."""

import gzip
import random
import re
from fractions import Fraction as F

import pytest

from nncli.errors import ArtifactError
from nncli.formats.specification_text import read_text, specification_of

INPUTS, OUTPUTS = 3, 3
ALL = "inputs in [-1, 1]\n"


@pytest.fixture
def read(tmp_path):
    def reading(text, inputs=INPUTS, outputs=OUTPUTS):
        path = tmp_path / "p.txt"
        path.write_text(text)
        return specification_of(read_text(str(path)), inputs=inputs, outputs=outputs)

    return reading


def holds(condition, x, y):
    total = condition.constant + sum(f * x[at] for at, f in condition.inputs)
    total += sum(f * y[at] for at, f in condition.outputs)
    both = {**dict(enumerate(x)), **{~at: one for at, one in enumerate(y)}}
    total += sum(f * both[one] * both[other] for one, other, f in condition.products)
    return total > 0 if condition.strict else total >= 0


def violated(specification, x, y):
    """Whether some case holds, its box taken literally."""

    def inside(box):
        return all(
            low <= value <= high
            and not (value == low and at in box.above)
            and not (value == high and at in box.below)
            for at, (low, value, high) in enumerate(zip(box.low, x, box.high, strict=True))
        )

    return any(
        inside(case.box) and all(holds(one, x, y) for one in case.conditions)
        for case in specification.cases
    )


GRID = [F(at, 2) for at in range(-2, 3)]


def points(seed, count=150):
    rng = random.Random(seed)
    for _ in range(count):
        yield [rng.choice(GRID) for _ in range(INPUTS)], [rng.choice(GRID) for _ in range(OUTPUTS)]


def test_limits_of_inputs_are_exact_and_all_kept(read):
    text = "inputs in [0, 1]\ninput 0 in [-0.3, 1/3]  # narrower\ninputs 1..2 in [1e-1, 5]\n"
    (case,) = read(text + "input * in [0,9]\nx[2] < 0.7\nnever y[0] >= 3").cases
    assert case.box.low == (0, F(1, 10), F(1, 10))
    assert case.box.high == (F(1, 3), 1, F(7, 10))
    assert case.box.below == {2}


HALF = F(1, 2)


def length(one, other=(0, 0, 0)):
    """Squared."""
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


MEANINGS = {
    "never y[0] >= y[1]": lambda x, y: y[0] >= y[1],
    "never y[0] >= y[1] and x[0] + 2 x[1] >= 0.5": (
        lambda x, y: y[0] >= y[1] and x[0] + 2 * x[1] >= HALF
    ),
    "never y[0] > 1/2 or Y_1 < -0.5": lambda x, y: y[0] > HALF or y[1] < -HALF,
    "never y[0] > 0 and y[1] > 0 or y[2] > 0": lambda x, y: (y[0] > 0 < y[1]) or y[2] > 0,
    "always y[2] < 0.5": lambda x, y: y[2] >= HALF,
    "always y[0] <= 0 or y[1] <= 0": lambda x, y: y[0] > 0 and y[1] > 0,
    "always y[1] in [-0.5, 0.5]": lambda x, y: abs(y[1]) > HALF,
    "always -0.5 <= y[1] - y[2] < 1": lambda x, y: not -HALF <= y[1] - y[2] < 1,
    "always y[0] = X_0": lambda x, y: y[0] != x[0],
    "never y[0] != x[0]": lambda x, y: y[0] != x[0],
    "y[2] is largest": lambda x, y: y[2] <= max(y[0], y[1]),
    "always y[2] IS largest": lambda x, y: y[2] <= max(y[0], y[1]),
    "y[1] is smallest": lambda x, y: y[1] >= min(y[0], y[2]),
    "y[1] is not largest": lambda x, y: y[1] > max(y[0], y[2]),
    "never y[1] is largest": lambda x, y: y[1] > max(y[0], y[2]),
    "y[0] is largest or y[1] is largest": (
        lambda x, y: y[0] <= max(y[1], y[2]) and y[1] <= max(y[0], y[2])
    ),
    "always y[1] > y[*]": lambda x, y: y[1] <= max(y[0], y[2]),
    "never y[1] >= y[*]": lambda x, y: y[1] >= max(y[0], y[2]),
    "never y[*] >= 0.5": lambda x, y: min(y) >= HALF,
    "always y[0] - y[1] <= 2 * y[*]": lambda x, y: y[0] - y[1] > 2 * y[2],
    "never y[0] >= x[*]": lambda x, y: y[0] >= max(x),
    "never - y[0] + 2 >= y[1] * 3 - 1": lambda x, y: -y[0] + 2 >= 3 * y[1] - 1,
    "never 2 * 0.5 y[0] >= 1/2*x[1]": lambda x, y: y[0] >= x[1] / 2,
    "always y[0]^2 + 2 y[0] * y[1] <= 1/2": lambda x, y: y[0] ** 2 + 2 * y[0] * y[1] > HALF,
    "never y[0] * x[1] >= 0.5": lambda x, y: y[0] * x[1] >= HALF,
    "never -y[0]^2 + y[1] >= 0": lambda x, y: -(y[0] ** 2) + y[1] >= 0,
    "always 2(y[0] - y[1])^2 < 1": lambda x, y: 2 * (y[0] - y[1]) ** 2 >= 1,
    "never (y[0] + 1) * (y[1] - x[0]) > 1": lambda x, y: (y[0] + 1) * (y[1] - x[0]) > 1,
    "always y[*]^2 <= 0.5": lambda x, y: max(abs(one) for one in y) ** 2 > HALF,
    "always y[2]^2 >= y[2] * y[*]": lambda x, y: y[2] ** 2 < max(y[2] * one for one in y[:2]),
    "always |y| <= 1": lambda x, y: length(y) > 1,
    "always |y|^2 - y[0] <= 1": lambda x, y: length(y) - y[0] > 1,
    "never |y - [0.5, -0.5, 0]| >= 1": lambda x, y: length(y, [HALF, -HALF, 0]) >= 1,
    "always 1/2 <= |y - x| < 3/2": lambda x, y: not F(1, 4) <= length(y, x) < F(9, 4),
    "always |-y + x| <= |x|": lambda x, y: length(y, x) > length(x),
    "never 2 |y - x|^2 < 1": lambda x, y: 2 * length(y, x) < 1,
}


@pytest.mark.parametrize("statement", MEANINGS)
def test_statements_rule_out_what_they_say(read, statement):
    found, bad = read(ALL + statement), MEANINGS[statement]
    answers = [(violated(found, x, y), bad(x, y)) for x, y in points(0)]
    assert all(have == want for have, want in answers)
    assert {have for have, _ in answers} == {True, False}


def random_comparison(rng):
    def side():
        parts = []
        for _ in range(rng.randint(1, 3)):
            factor = rng.choice(["", "2 ", "0.5 ", "1/2 "])
            parts.append(
                rng.choice([f"{factor}{rng.choice('xy')}[{rng.randint(0, 2)}]", "1", "0.5"])
            )
        return rng.choice(["", "- "]) + rng.choice([" + ", " - "]).join(parts)

    return f"{side()} {rng.choice(['<=', '>=', '<', '>'])} {side()}"


@pytest.mark.parametrize("seed", range(30))
def test_random_conditions_mean_what_python_takes_them_for(read, seed):
    rng = random.Random(seed)
    words = [random_comparison(rng)]
    for _ in range(rng.randint(0, 3)):
        words += [rng.choice(["and", "or"]), random_comparison(rng)]
    condition, demand = " ".join(words), rng.choice(["never", "always"])
    found = read(f"{ALL}{demand} {condition}\n")
    python = re.sub(r"(\d) ([xy]\[)", r"\1 * \2", condition)
    python = re.sub(r"(?<![\[\d.])(\d+(?:[./]\d+)?)(?!\])", r"F('\1')", python)
    for x, y in points(seed, 60):
        said = eval(python, {"F": F, "x": x, "y": y})
        assert violated(found, x, y) is (said if demand == "never" else not said)


def random_polynomial(rng):
    terms = []
    for _ in range(rng.randint(1, 4)):
        one, other = (f"{rng.choice('xy')}[{rng.randint(0, 2)}]" for _ in range(2))
        factor = rng.choice(["", "2 * ", "1/2 * "])
        terms.append(rng.choice([f"{factor}{one} * {other}", f"{factor}({one} - {other})^2", one]))
    return rng.choice(["", "- "]) + rng.choice([" + ", " - "]).join(terms)


@pytest.mark.parametrize("seed", range(20))
def test_random_quadratic_conditions_mean_what_python_takes_them_for(read, seed):
    rng = random.Random(seed)
    condition = f"{random_polynomial(rng)} {rng.choice(['<=', '<'])} {random_polynomial(rng)}"
    found = read(f"{ALL}never {condition}\n")
    python = re.sub(r"(?<![\[\d.^])(\d+(?:[./]\d+)?)(?!\])", r"F('\1')", condition)
    for x, y in points(seed, 60):
        said = eval(python.replace("^", "**"), {"F": F, "x": x, "y": y})
        assert violated(found, x, y) is said


def test_outputs_at_a_point_are_those_of_the_network(tmp_path):
    """The centre is that of all limits, also of those in later lines."""
    path = tmp_path / "p.txt"
    path.write_text(
        "inputs in [0, 1]\nalways |y - y at centre| <= 1/2\nalways |y - y at [0, 1, -1]|^2 < 3\n"
        "input 2 in [-3, 3]\nx[2] <= 0.5\n"
    )
    asked = []

    def outputs_at(point):
        asked.append(list(point))
        return [2 * one for one in point]

    text = read_text(str(path))
    found = specification_of(text, inputs=3, outputs=3, outputs_at=outputs_at)
    assert asked == [[HALF, HALF, F(1, 4)], [0, 1, -1]]
    assert found.pointed
    assert not specification_of(
        read_text(_written(tmp_path, ALL + "never |y - [0, 1, 2]| > 1")), inputs=3, outputs=3
    ).pointed
    for x, y in points(5):
        if not (min(x) >= 0 and x[2] <= HALF):
            continue
        bad = length(y, [1, 1, HALF]) > F(1, 4) or length(y, [0, 2, -2]) >= 3
        assert violated(found, x, y) is bad


def test_a_centre_without_limits_is_refused(tmp_path):
    text = read_text(_written(tmp_path, "inputs 0..1 in [0, 1]\nalways |y - y at centre| <= 1"))
    with pytest.raises(ArtifactError, match="no `centre`: input 2 has no lower limit"):
        specification_of(text, inputs=3, outputs=3, outputs_at=lambda point: point)


def _written(folder, text):
    path = folder / "written.txt"
    path.write_text(text)
    return str(path)


def test_several_statements_all_hold(read):
    found = read(ALL + "always y[0] <= 0.5\n\nnever y[1] >= y[2]  # both\n")
    for x, y in points(1):
        assert violated(found, x, y) is (y[0] > F(1, 2) or y[1] >= y[2])


def test_conditions_on_inputs_alone_say_which_inputs_are_meant(read):
    found = read(ALL + "x[0] + x[1] <= 0.5\nx[2] = 0.5\nnever y[0] > 0")
    for x, y in points(2):
        meant = x[0] + x[1] <= F(1, 2) and x[2] == F(1, 2)
        assert violated(found, x, y) is (meant and y[0] > 0)


def test_a_packed_specification_is_read(tmp_path):
    path = tmp_path / "p.gz"
    path.write_bytes(gzip.compress((ALL + "y[0] is largest").encode()))
    assert len(specification_of(read_text(str(path)), inputs=3, outputs=3).cases) == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (ALL + "inputs in [0, 1", 2, "expected `input 3 in [-0.5, 0.5]`"),
        (ALL + "input 3 in [0, 1]", 2, "there is no input 3: the network has 3, 0 to 2"),
        (ALL + "inputs 2..1 in [0, 1]", 2, "inputs 2..1 are none"),
        (ALL + "inputs in [1, 0]", 2, "the lower limit `1` is above the upper one"),
        (ALL + "inputs in [0, much]", 2, "`much` is no number"),
        (ALL + "\n# y\ny[0] >= 3", 4, "put `always` or `never` before it"),
        (ALL + "never y[0] => 3", 2, "found `>`"),
        (ALL + "never y[0] >=", 2, "found the end of the line"),
        (ALL + "never", 2, "found the end of the line"),
        (ALL + "never y[0]", 2, "expected `<=`, `>=`, `in` or `is`, found the end of the line"),
        (ALL + "never y[3] >= 0", 2, "`y[3]`: the network has 3 outputs, `y[0]` to `y[2]`"),
        (ALL + "never X_3 >= 0", 2, "`X_3`: the network has 3 inputs, `x[0]` to `x[2]`"),
        (ALL + "never y[0] * y[1] * x[0] >= 0", 2, "a product of three variables"),
        (ALL + "never (y[0]^2) y[1] >= 0", 2, "found `y[1]`"),
        (ALL + "never (y[0] + y[1]^2)^2 >= 0", 2, "a product of three variables"),
        (ALL + "never y[0]^3 >= 0", 2, "only squares are read, as in `y[0]^2`, found `3`"),
        (ALL + "never (y[0] + 1 >= 0", 2, "expected `)` at the end of a sum, found `>=`"),
        (ALL + "always |y| + 1 <= 3", 2, "expected `<=`, `>=`, `in` or `is`, found `+`"),
        (ALL + "always 1 + |y| <= 3", 2, "within a sum is squared: `|...|^2`, found `<=`"),
        (ALL + "always |y|^4 <= 3", 2, "within a sum is squared: `|...|^2`, found `4`"),
        (ALL + "always |y| <= -1", 2, "compared with a number that is not negative"),
        (ALL + "always |y| <= y[0]", 2, "compared with a number that is not negative"),
        (ALL + "always |y - [1, 2]| <= 3", 2, "vectors of 3 and 2 numbers do not go together"),
        (ALL + "always |y - [1, 2 3]| <= 3", 2, "expected `,` or `]` after a number, found `3`"),
        (ALL + "always |y - z| <= 3", 2, "expected a vector: `y`, `x`, `[0.5, 1]`"),
        (ALL + "always |y <= 3", 2, "expected `+`, `-` or `|` after a vector, found `<=`"),
        (ALL + "always |y - y at home| <= 3", 2, "expected `centre` or an input such as"),
        (ALL + "always |y - y at [0]| <= 3", 2, "`at` a point of 1 numbers: there are 3 inputs"),
        (ALL + "always |y - y at centre| <= 3", 2, "there is no network"),
        (ALL + "always |y| is largest", 2, "expected `<=`, `>=`, `in` or `is`, found `is`"),
        (ALL + "y[0]^2 is largest", 2, "expected one output before `is`"),
        (ALL + "never y >= 0", 2, "expected a number, an input `x[0]` or an output `y[0]`"),
        (ALL + "never (y[0] >= 0)", 2, "expected `)` at the end of a sum, found `>=`"),
        (ALL + "never y[0] >= x[0] y[1] >= 0", 2, "expected `and`, `or` or the end of the line"),
        (ALL + "never y[0] >= 3 y[1] >= 0", 2, "join them with `and`"),
        (ALL + "never 0 <= y[0] <= 1 <= 2", 2, "join them with `and`"),
        (ALL + "never y[0] >= 1e99999", 2, "`1e99999` is no number"),
        (ALL + "never y[0] in [1, 0]", 2, "the lower one first"),
        (ALL + "never y[0] in [1]", 2, "expected limits such as `[-0.5, 0.5]`, found `]`"),
        (ALL + "y[0] is big", 2, "expected `largest` or `smallest`, found `big`"),
        (ALL + "x[0] is largest", 2, "expected one output before `is`"),
        (ALL + "y[*] is largest", 2, "expected one output before `is`"),
        (ALL + "never y[*] >= x[*]", 2, "`x[*]` and `y[*]` do not go into one comparison"),
        (ALL + "never y[0] + y[1] + y[2] >= y[*]", 2, "no output but those named here"),
        ("(assert (<= X_0 1))", 1, "this looks like VNN-LIB"),
    ],
)
def test_what_is_no_statement_is_refused_with_its_line(read, text, line, words):
    with pytest.raises(ArtifactError) as caught:
        read(text)
    assert words in caught.value.message
    assert f"p.txt`, line {line}: " in caught.value.message


def test_a_demand_on_one_output_against_none_is_refused_not_met(read):
    with pytest.raises(ArtifactError, match="no output but those named here"):
        read(ALL + "y[0] is largest", outputs=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# nothing\n", "demands nothing of the outputs"),
        (ALL, "demands nothing of the outputs"),
        ("input 0 in [0, 1]\ny[0] is largest", "input 1 has no lower limit"),
        ("inputs 0..1 in [0, 1]\nx[2] >= 0\ny[0] is largest", "input 2 has no upper limit"),
    ],
)
def test_what_is_incomplete_is_refused(read, text, words):
    with pytest.raises(ArtifactError, match=words):
        read(text)


@pytest.mark.parametrize("place", [str(1 << 62), 5000 * "1"])
@pytest.mark.parametrize("side", ["x", "y"])
def test_no_place_is_so_great_that_it_means_every_place(read, side, place):
    with pytest.raises(ArtifactError, match=r"the network has 3 (in|out)puts"):
        read(f"{ALL}always {side}[{place}] >= -100")


@pytest.mark.parametrize("number", [4500 * "1", "0." + 4500 * "1", "1e4500", "1/" + 4500 * "3"])
@pytest.mark.parametrize("line", ["always y[0] <= {}", "input 0 in [0, {}]"])
def test_numbers_of_thousands_of_digits_are_refused_with_their_line(read, line, number):
    with pytest.raises(ArtifactError, match=r"line 2: `[^`]{1,44}` is no number"):
        read(ALL + line.format(number))
