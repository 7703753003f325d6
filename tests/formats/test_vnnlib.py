"""VNN-LIB files: every form of the language, and cases that say what the formula says."""

import gzip
import random
import time
from fractions import Fraction as F

import pytest

from nncli.errors import ArtifactError
from nncli.formats.vnnlib import read_vnnlib

BOX = "(assert (>= X_0 -1)) (assert (<= X_0 1))\n"


def declared(inputs=1, outputs=1):
    names = [f"X_{at}" for at in range(inputs)] + [f"Y_{at}" for at in range(outputs)]
    return "".join(f"(declare-const {name} Real)\n" for name in names)


@pytest.fixture
def read(tmp_path):
    def reading(text):
        path = tmp_path / "p.vnnlib"
        path.write_text(text)
        return read_vnnlib(str(path))

    return reading


@pytest.fixture
def refused(read):
    def refusing(text):
        with pytest.raises(ArtifactError) as caught:
            read(text)
        assert "p.vnnlib`" in caught.value.message
        return caught.value

    return refusing


def only(specification):
    (case,) = specification.cases
    return case


def condition_holds(condition, x, y):
    total = condition.constant + sum(f * x[at] for at, f in condition.inputs)
    total += sum(f * y[at] for at, f in condition.outputs)
    return total > 0 if condition.strict else total >= 0


def case_holds(case, x, y):
    for at, value in enumerate(x):
        low, high = case.box.low[at], case.box.high[at]
        if value < low or value > high:
            return False
        if (value == low and at in case.box.above) or (value == high and at in case.box.below):
            return False
    return all(condition_holds(one, x, y) for one in case.conditions)


# an evaluator of its own: text to nested lists by recursion, then straight evaluation


def parsed(words):
    word = words.pop(0)
    if word != "(":
        return word
    found = []
    while words[0] != ")":
        found.append(parsed(words))
    words.pop(0)
    return found


def value(term, x, y):
    if isinstance(term, str):
        if term[0] in "XY":
            return (x if term[0] == "X" else y)[int(term[2:])]
        return F(term)
    parts = [value(one, x, y) for one in term[1:]]
    total = parts[0]
    if term[0] == "-" and len(parts) == 1:
        return -total
    for one in parts[1:]:
        if term[0] == "+":
            total += one
        elif term[0] == "-":
            total -= one
        elif term[0] == "*":
            total *= one
        else:
            total /= one
    return total


def truth(formula, x, y):
    head, *parts = formula
    if head == "and":
        return all(truth(one, x, y) for one in parts)
    if head == "or":
        return any(truth(one, x, y) for one in parts)
    if head == "not":
        return not truth(parts[0], x, y)
    if head == "=>":
        return not truth(parts[0], x, y) or truth(parts[1], x, y)
    left, right = (value(one, x, y) for one in parts)
    return {
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
        "=": left == right,
        "!=": left != right,
    }[head]


INPUTS, OUTPUTS = 2, 2
GRID = [F(at, 2) for at in range(-2, 3)]


def random_term(rng, depth):
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        name = rng.choice(["X_0", "X_1", "Y_0", "Y_1", "number", "number"])
        return rng.choice(["0.5", "-1", "1e0", "-5e-1", "3/2", "0"]) if name == "number" else name
    parts = [random_term(rng, depth - 1) for _ in range(rng.choice([1, 2, 3]))]
    if kind < 0.75:
        return f"(+ {' '.join(parts)})"
    if kind < 0.9:
        return f"(- {' '.join(parts)})"
    return f"(* {rng.choice(['2', '-0.5', '(- 1)', '(/ 3 2)'])} {parts[0]})"


def random_formula(rng, depth, relations):
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        relation = rng.choice(relations)
        if rng.random() < 0.5:  # limits of inputs are what boxes are made of
            left, right = rng.choice(["X_0", "X_1"]), rng.choice(["0", "0.5", "-0.5", "1"])
            if rng.random() < 0.3:
                left, right = right, left
        else:
            left, right = random_term(rng, 2), random_term(rng, 1)
        return f"({relation} {left} {right})"
    parts = [random_formula(rng, depth - 1, relations) for _ in range(rng.choice([1, 2, 3]))]
    if kind < 0.9:
        return f"({rng.choice(['and', 'or'])} {' '.join(parts)})"
    return f"(not {parts[0]})" if kind < 0.95 else f"(=> {parts[0]} {parts[-1]})"


@pytest.mark.parametrize("seed", range(60))
def test_cases_hold_exactly_where_the_formula_does(read, seed):
    rng = random.Random(seed)
    relations = ["<=", ">="] if seed % 2 else ["<=", ">=", "<", ">", "=", "!="]
    formulas = [random_formula(rng, 3, relations) for _ in range(rng.choice([1, 2, 3]))]
    box = "".join(f"(assert (>= X_{at} -1))(assert (<= X_{at} 1))" for at in range(INPUTS))
    text = "".join(f"(assert {formula})" for formula in formulas)
    cases = read(declared(INPUTS, OUTPUTS) + text + box).cases
    trees = [
        parsed(formula.replace("(", " ( ").replace(")", " ) ").split()) for formula in formulas
    ]
    for _ in range(120):
        x = [rng.choice(GRID) for _ in range(INPUTS)]
        y = [rng.choice(GRID) for _ in range(OUTPUTS)]
        said = all(truth(tree, x, y) for tree in trees)
        assert any(case_holds(one, x, y) for one in cases) == said


def test_numbers_are_read_without_a_rounding(read):
    text = declared(3) + (
        "(assert (>= X_0 -0.1))(assert (<= X_0 1e-1))"
        "(assert (>= X_1 (- 0.3)))(assert (<= X_1 (/ 1 3)))"
        "(assert (>= X_2 -2.5E+0))(assert (<= X_2 7/9))(assert (>= Y_0 .5))"
    )
    case = only(read(text))
    assert case.box.low == (F(-1, 10), F(-3, 10), F(-5, 2))
    assert case.box.high == (F(1, 10), F(1, 3), F(7, 9))
    assert case.conditions[0].constant == F(-1, 2)


def test_an_or_followed_by_an_assert_multiplies(read):
    # read as one more alternative, the assert would make a case without the outputs' condition
    choice = "(assert (or (and (>= X_0 -1) (<= X_0 0)) (and (>= X_0 0.5) (<= X_0 1))))\n"
    cases = read(declared(1, 2) + choice + "(assert (>= Y_0 Y_1))").cases
    assert [(one.box.low, one.box.high) for one in cases] == [((-1,), (0,)), ((F(1, 2),), (1,))]
    assert all(one.conditions[0].outputs == ((0, 1), (1, -1)) for one in cases)
    assert read(declared(1, 2) + "(assert (>= Y_0 Y_1))" + choice).cases[0].conditions


def test_an_output_held_at_a_number_from_both_sides_is_a_case(read):
    case = only(read(declared() + BOX + "(assert (and (<= Y_0 0) (>= Y_0 0)))"))
    assert [one.outputs for one in case.conditions] == [((0, -1),), ((0, 1),)]
    assert only(read(declared() + BOX + "(assert (= Y_0 0))")).conditions == case.conditions[::-1]


def test_an_input_with_equal_limits_is_a_case(read):
    case = only(read(declared() + "(assert (= X_0 0.1))(assert (<= Y_0 0))"))
    assert case.box.low == case.box.high == (F(1, 10),)


@pytest.mark.parametrize(
    "condition",
    [
        "(>= X_0 2)",
        "(> X_0 1)",
        "(< 1 X_0)",
        "(and (<= X_0 0) (> X_0 0))",
        "(or)",
        "false",
        "(>= 0 1)",
        "(>= (+ X_0 X_0 (* -2 X_0)) 0.1)",
        "(and (>= Y_0 1) (<= Y_0 0.5))",
        "(and (> Y_0 1) (<= (* 2 Y_0) 2))",
        "(>= (+ X_0 X_1) 3)",
        "(and (or (<= X_0 0) (<= X_0 -0.5)) (or (>= X_0 0.5) (> X_0 0)))",
    ],
)
def test_what_can_never_happen_is_no_case(read, condition):
    box = BOX + BOX.replace("X_0", "X_1")
    assert read(declared(2) + box + f"(assert {condition})").cases == ()


def test_a_condition_that_the_box_decides_is_left_out(read):
    box = BOX + BOX.replace("X_0", "X_1")
    text = declared(2) + box + "(assert (<= (+ X_0 X_1) 2))(assert (>= Y_0 0))"
    assert [one.inputs for one in only(read(text)).conditions] == [()]


def test_strict_limits_are_kept_apart(read):
    case = only(read(declared() + "(assert (> X_0 0))(assert (>= X_0 0))(assert (< X_0 1))"))
    assert (case.box.low, case.box.above) == ((0,), {0})
    assert (case.box.high, case.box.below) == ((1,), {0})
    looser = only(read(declared() + "(assert (> X_0 0))(assert (>= X_0 0.5))(assert (< X_0 1))"))
    assert looser.box.above == frozenset()


def test_blanks_comments_and_headers_do_not_matter(read):
    compact = (
        "(set-logic QF_LRA)(set-info :source |a; b ( c|)(set-option :produce-models true)"
        "(declare-fun X_0()Real)(declare-fun Y_0()Real); (assert false)\n"
        "(assert(and(<=X_0 1)(>=X_0 -1)(<=Y_0(- 2))))(check-sat)(get-model)"
    )
    # `<=X_0` is one word to nobody: the blank there is the language's, those at brackets are not
    compact = compact.replace("<=", "<= ").replace(">=", ">= ")
    spread = declared() + BOX + "\n\t( assert\r\n ( <=\nY_0 -2 ) ) ; end"
    assert read(compact).cases[0].conditions == read(spread).cases[0].conditions
    assert read(compact).cases[0].box.low == (-1,)


def test_a_packed_file_is_read_as_the_plain_one(tmp_path):
    text = declared() + BOX + "(assert (>= Y_0 0))"
    (tmp_path / "p.vnnlib").write_text(text)
    (tmp_path / "p.vnnlib.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = (read_vnnlib(str(tmp_path / name)) for name in ("p.vnnlib", "p.vnnlib.gz"))
    assert plain.cases[0].conditions == packed.cases[0].conditions
    assert plain.digest != packed.digest


def test_a_packed_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "p.vnnlib.gz"
    path.write_bytes(gzip.compress(declared(50, 50).encode())[:-20])
    with pytest.raises(ArtifactError, match="damaged or cut short"):
        read_vnnlib(str(path))


def test_comparisons_may_be_chained(read):
    case = only(read(declared() + "(assert (<= -1 X_0 1))(assert (< Y_0 X_0 0.5))"))
    assert (case.box.low, case.box.high, case.box.below) == ((-1,), (F(1, 2),), {0})
    assert case.conditions[0].outputs == ((0, -1),)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("(assert (>= Y_0 0))", 1, "`X_0`, declared here, has no lower limit"),
        ("(assert (>= X_0 0))", 1, "`X_0`, declared here, has no upper limit"),
        (
            "(assert (or (and (>= X_0 0) (<= X_0 1)) (>= Y_0 0)))",
            1,
            "no lower limit in one of the alternatives",
        ),
        (BOX + "(assert (<= Y_1 0))", 4, "`Y_1` is neither a number nor declared; closest: `Y_0`"),
        (BOX + "(assert\n(<= Y_0 0,5))", 5, "`0,5` is neither a number nor declared"),
        (BOX + "(assert (<= (* X_0 Y_0) 0))", 4, "product of two variables is not linear"),
        (BOX + "(assert (<= (/ 1 Y_0) 0))", 4, "`/` divides by one number that is not 0"),
        (BOX + "(assert (<= (/ 1 0) Y_0))", 4, "`/` divides by one number that is not 0"),
        (BOX + "(assert (<= Y_0))", 4, "`<=` compares two numbers or sums, found 1"),
        (BOX + "(assert (<= Y_0 0) (<= Y_0 1))", 4, "`assert` takes one condition, found 2"),
        (BOX + "(assert Y_0)", 4, "expected a condition such as `(<= Y_0 Y_1)`, found `Y_0`"),
        (BOX + "(assert (+ Y_0 1))", 4, "expected a condition such as `(<= Y_0 Y_1)`, found a sum"),
        (BOX + "(assert (<= (<= Y_0 1) 1))", 4, "a number, a variable or a sum, found a condition"),
        (BOX + "(assert (ite (<= Y_0 0) (<= Y_0 1) (<= Y_0 2)))", 4, "`(ite ...)`, which is not"),
        (BOX + "(assert (<= Y_0 (relu 1)))", 4, "`(relu ...)`, which is not read"),
        (BOX + "(assert (<= Y_0 0)", 4, "this parenthesis is never closed"),
        (BOX + "(assert (<= Y_0 0)))", 4, "this parenthesis was never opened"),
        (BOX + "assert (<= Y_0 0)", 4, "expected a command such as `(assert"),
        (BOX + "(asert (<= Y_0 0))", 4, "the command `asert` is not read"),
        (BOX + "(push 1)", 4, "the command `push` is not read"),
        (BOX + "(<= Y_0 0)", 4, "the command `<=` is not read"),
        (BOX + "(assert (assert (<= Y_0 0)))", 4, "`assert` inside another command"),
        (BOX + "(declare-const X_0 Real)", 4, "`X_0` is declared twice"),
        (BOX + "(declare-const X_2 Real)", 4, "`X_2` is declared, but `X_1` is not"),
        (BOX + "(declare-const X_1 Int)", 4, "`X_1` is of type `Int`, expected `Real`"),
        (BOX + "(declare-const Z_1 Real)", 4, "`Z_1` is neither an input `X_0`, `X_1`, ..."),
        (BOX + "(declare-const X_1)", 4, "expected `(declare-const X_0 Real)`"),
        (BOX + "(declare-fun X_1 Real)", 4, "expected `(declare-fun X_0 () Real)`"),
        (BOX + "(assert (<= Y_0 1e999999999))", 4, "`1e999999999` is neither a number"),
        (BOX + "(assert (<= Y_0 nan))", 4, "`nan` is neither a number nor declared"),
        ("(vnnlib-version <3.0>)", 3, "version `<3.0>`, expected <1.0> or <2.0>"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(refused, text, line, words):
    message = refused(declared() + text).message
    assert words in message
    assert f", line {line}:" in message


def test_a_variable_is_declared_before_it_is_used(refused):
    message = refused("(assert (<= X_0 1))\n" + declared()).message
    assert "line 1: `X_0` is neither a number nor declared; nothing is declared before" in message


@pytest.mark.parametrize(("inputs", "outputs", "what"), [(0, 1, "inputs"), (1, 0, "outputs")])
def test_a_file_without_inputs_or_outputs_is_refused(refused, inputs, outputs, what):
    assert f"the file declares no {what}" in refused(declared(inputs, outputs)).message


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"(assert \xff\xfe)"])
def test_what_is_no_text_is_refused(tmp_path, data):
    path = tmp_path / "p.vnnlib"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"expected a VNN-LIB file|no UTF-8 text"):
        read_vnnlib(str(path))


def test_alternatives_that_multiply_beyond_all_bounds_are_refused_at_once(refused):
    choices = "".join(f"(assert (or (<= Y_{at} 0) (>= Y_{at} 1)))" for at in range(40))
    start = time.process_time()
    message = refused(declared(1, 40) + BOX + choices).message
    assert "multiply to 1,099,511,627,776 alternatives" in message
    assert time.process_time() - start < 1


def test_alternatives_that_exclude_each_other_do_not_multiply(read):
    boxes = " ".join(f"(and (>= X_0 {at}) (<= X_0 {at}.5) {{}})" for at in range(60))
    text = "".join(f"(assert (or {boxes.format(*[one] * 60)}))" for one in ("", "(>= Y_0 1)", ""))
    assert len(read(declared() + text).cases) == 60  # of 216,000 combinations


def test_nesting_is_bounded_by_a_refusal_only(read, refused):
    deep = "(+ " * 5000 + "Y_0" + " 1)" * 5000
    assert only(read(declared() + BOX + f"(assert (<= {deep} 0))")).conditions[0].constant == -5000
    nested = "(and (>= Y_0 1) (or (>= Y_0 2) " * 2000 + "(<= Y_0 3)" + "))" * 2000
    assert "nested too deeply" in refused(declared() + BOX + f"(assert {nested})").message


def test_thousands_of_boxes_with_small_ors_are_read_in_about_a_second_and_share_boxes(read):
    rng = random.Random(0)

    def box():
        sides = ((at, rng.uniform(-1, 0), rng.uniform(0, 1)) for at in range(5))
        return " ".join(f"(>= X_{at} {low:.8f})(<= X_{at} {high:.8f})" for at, low, high in sides)

    small = "(or (<= Y_0 Y_1) (<= Y_0 Y_2) (>= Y_0 3.5))"
    inside = "".join(f"(and {box()} {small})\n" for _ in range(2000))
    beside = "".join(f"(and {box()})\n" for _ in range(2000))
    start = time.process_time()
    first = read(declared(5, 3) + f"(assert (or {inside}))").cases
    second = read(declared(5, 3) + f"(assert {small})(assert (or {beside}))").cases
    spent = time.process_time() - start
    assert len(first) == len(second) == 6000
    assert all(len({id(one.box) for one in cases}) == 2000 for cases in (first, second))
    assert spent < 8  # about one second without a debugger or a crowd of other processes


VERSION_2 = """(vnnlib-version <2.0>)
(declare-network f
    (declare-input X Real [1, 2,3] "input name")
    (declare-output Y float32 [1,2])
)
"""


def limits(shape):
    places = [(first, second) for first in range(shape[0]) for second in range(shape[1])]
    return "".join(
        f"(assert (and (<= X[0,{a},{b}] {at}.5) (>= X [0, {a}, {b}] {at})))\n"
        for at, (a, b) in enumerate(places)
    )


def test_version_2_tensors_are_read_in_row_major_order(read):
    found = read(VERSION_2 + limits((2, 3)) + "(assert (or (!= Y[0,0] Y[0,1]) (== Y[0,1] 4)))")
    assert (found.inputs, found.outputs, found.shape) == (6, 2, (1, 2, 3))
    assert found.cases[0].box.low == tuple(range(6))
    assert [len(one.conditions) for one in found.cases] == [1, 1, 2]
    assert found.cases[0].conditions[0].strict


def test_version_2_scalars_are_read(read):
    head = "(declare-network f (declare-input X Real []) (declare-output Y Real [1]))"
    case = only(read(head + "(assert (<= 0 X))(assert (<= X 1))(assert (>= Y[0] X))"))
    assert case.conditions[0][:2] == (((0, -1),), ((0, 1),))


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("Real", "int8", 3, "`X` is of type `int8`, expected `Real`"),
        (")\n)\n", ")\n)\n(declare-network g (declare-input Z Real [1]))\n", 6, "a second input"),
        (")\n)\n", ")\n)\n(declare-network g)\n", 6, "a second network"),
        (
            'name")',
            'name") (declare-input Z Real [1])',
            3,
            "a second input tensor, `Z`",
        ),
        ('name")', 'name") (declare-hidden H Real [1] "h")', 3, "hidden tensors are not read"),
        ('name")', 'name") (isomorphic-to g)', 3, "`isomorphic-to` compares networks"),
        ('name")', 'name") (foo)', 3, "found `(foo ...)`, which is not read"),
        ("[1, 2,3]", "[1, a]", 3, "expected `(declare-input X Real [1,28,28])`"),
        ("[1, 2,3]", "", 3, "expected `(declare-input X Real [1,28,28])`"),
        ("[1, 2,3]", "[0]", 3, "`X` has 0 numbers"),
    ],
)
def test_of_version_2_what_is_beyond_one_network_is_refused_with_its_line(
    refused, old, new, line, words
):
    text = VERSION_2.replace(old, new, 1) + limits((2, 3))
    message = refused(text).message
    assert words in message
    assert f", line {line}:" in message


@pytest.mark.parametrize("word", ["X[0,2,0]", "X[0,1]", "Z[0]", "X", "X[0,0,-1]"])
def test_an_element_that_a_tensor_does_not_have_is_refused(refused, word):
    error = refused(VERSION_2 + limits((2, 3)) + f"(assert (<= {word} 3))")
    assert f"`{word}` is neither a number nor declared; tensors are `X[1,2,3]`" in error.message


def test_a_missing_limit_of_a_tensor_is_named_as_the_file_names_it(refused):
    lines = limits((2, 3)).splitlines()
    message = refused(VERSION_2 + "\n".join(lines[:4] + lines[5:])).message
    assert "line 3: the input `X[0,1,1]`, declared here, has no lower limit" in message
