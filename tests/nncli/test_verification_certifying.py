"""Certificates: every method leaves a proof that is accepted, and no hint proves what is false."""

import json
from dataclasses import replace
from fractions import Fraction as F

import pytest
import torch
from verification_networks import chain

from nncli.errors import ArtifactError
from nncli.verification.asking import property_of
from nncli.verification.backward import below
from nncli.verification.certifying.checking import CHECKS, check
from nncli.verification.certifying.exact_text import digest, exact_text, is_ranking, read_exact
from nncli.verification.certifying.multipliers import record_multipliers
from nncli.verification.certifying.parts import Part, tree_of
from nncli.verification.domains import Domain
from nncli.verification.exact import ExactCase, Limits, Linear, Near
from nncli.verification.neighbourhoods import robustness
from nncli.verification.portfolio import decide
from nncli.verification.queries import queries
from nncli.verification.sdp.search import Found
from nncli.verification.slopes import ascend
from nncli.verification.stages import Setting
from nncli.verification.standing import Standing
from nncli.verification.tightening import relaxations, tightened
from nncli.verification.trees import Tree

EPSILON = {
    "ibp": "0.001",
    "crown": "0.02",
    "alpha-crown": "0.03",
    "input-split": "0.05",
    "contradiction": "0.045",
    "relu-split": "0.045",
    "milp": "0.045",
    "sdp": "0.045",
}


def network(seed, sizes):
    return chain(sizes, seed, scale=1.6, bias=0.1)


def question(net, epsilon, seed=100, label=None):
    x = torch.rand(net.inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    label = int(net(x).argmax()) if label is None else label
    return robustness("x", x, label, epsilon, outputs=net.outputs)


def sizes_of(method):
    return [4, 12, 12, 3] if method == "input-split" else [24, 24, 24, 3]


@pytest.fixture(scope="module", params=sorted(EPSILON))
def proved(request):
    """A network, a property, and its proof by one method."""
    method = request.param
    net = network(0, sizes_of(method))
    asked = question(net, EPSILON[method])
    answer = decide(net, asked, lambda point: False, Setting(method, 60.0, record=True))
    assert answer.verdict == "verified"
    return method, net, asked, answer.proof


def test_the_proof_of_every_method_is_accepted(proved):
    method, net, asked, parts = proved
    if method != "alpha-crown":  # whose rows the rule of CROWN may have proved
        assert method in {one.method for one in parts}
    assert check(net, asked, parts) is None
    assert check(net, asked, [one.narrowed() for one in parts]) is None


def test_linear_bounds_over_intervals_are_checked_over_intervals():
    net = network(0, [24, 24, 24, 3])
    for epsilon in ("0.002", "0.005", "0.01", "0.02"):
        asked = question(net, epsilon)
        answer = decide(net, asked, lambda point: False, Setting("crown", 60.0, record=True))
        efforts = {one.effort for one in answer.proof if one.method == "crown"}
        if efforts == {-1}:  # what intervals alone did not prove
            assert check(net, asked, answer.proof) is None
            return
    raise AssertionError("no radius was proved so")


def test_no_part_of_a_proof_can_be_left_out(proved):
    _, net, asked, parts = proved
    for place in range(len(parts)):
        reason = check(net, asked, parts[:place] + parts[place + 1 :])
        assert reason is not None
        assert "says nothing of" in reason


def test_no_proof_proves_a_property_that_is_violated(proved):
    _, net, asked, parts = proved
    false = question(net, "0.02", label=other_class(net, asked))
    for hints in (parts, [one.narrowed() for one in parts]):
        assert check(net, false, hints) is not None


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("seed", range(3, 6))
def test_what_happens_outside_of_a_ball_says_nothing_against_a_proof_within(seed, norm):
    net = chain([3, 8, 8, 1], seed, ["tanh"])
    x = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)).double()
    outputs = net(x / torch.linalg.vector_norm(x, norm, dim=1, keepdim=True))
    limit = F(float(1.05 * outputs.min() - 0.05 * outputs.max()))
    box, near = Limits((F(-1),) * 3, (F(1),) * 3), Near((F(0),) * 3, F(1), norm)
    case = ExactCase(box, (Linear((), ((0, F(-1)),), limit),), near)
    asked = property_of("ball", [case], inputs=3, outputs=1)
    answer = decide(net, asked, lambda point: False, Setting("input-split", 60.0, record=True))
    assert answer.verdict == "verified"
    assert check(net, asked, answer.proof) is None


def test_one_of_several_conditions_may_rest_on_slopes_of_its_own():
    """`y_0 <= a and y_1 <= b` cannot happen for y_0, by slopes; of y_1 nothing is known."""
    net = chain([6, 14, 14, 2], 1)
    box = Limits((F(-1, 2),) * 6, (F(1, 2),) * 6)
    domain = Domain(*(torch.full((1, 6), one, dtype=torch.float64) for one in (-0.5, 0.5)))
    known, rows = tightened(net, domain), {net.last: torch.eye(2, dtype=torch.float64)[None]}
    found = ascend(net, rows, domain, known, steps=40)
    plain = below(net, rows, domain, known, relaxations(net, known)).bound[0, 0]
    between = F(float((plain + 3 * found.bound[0, 0]) / 4))
    assert float(plain) < between < float(found.bound[0, 0])
    conditions = (Linear((), ((0, F(-1)),), between), Linear((), ((1, F(-1)),), F(1000)))
    asked = property_of("both", [ExactCase(box, conditions)], inputs=6, outputs=2)
    standing = Standing.of(queries(asked)[0])
    standing.effort = 0
    margins = standing.query.margins(found.bound)[0]
    assert (margins > 0).tolist() == [True, False]
    nothing = Found(torch.full((2,), -torch.inf, dtype=torch.float64), {}, {}, margins)
    record_multipliers(standing, torch.arange(2), margins, nothing, found.choice)
    assert [one.method for one in standing.parts] == ["alpha-crown"]
    assert check(net, asked, standing.parts) is None
    for stored in ([1], [0, 0], [0, 1], [2], []):
        tensors = standing.parts[0].tensors | {"rows": torch.tensor(stored, dtype=torch.int64)}
        assert check(net, asked, [replace(standing.parts[0], tensors=tensors)]) is not None


def other_class(net, asked):
    return next(place for place in range(3) if place != int(net(middle(asked)).argmax()))


def centre(asked):
    box = asked.cases[0].box
    return [(low + high) / 2 for low, high in zip(box.low, box.high, strict=True)]


def spoilt(tensors):
    """The tensors, each made worse in several ways."""
    generator = torch.Generator().manual_seed(0)
    for name, one in tensors.items():
        double = one.double()
        yield name, one.reshape(-1)[:0]
        yield name, torch.full_like(double, torch.nan)
        yield name, (torch.randn(one.shape, generator=generator) * 1e3).to(one.dtype)
        if not one.is_floating_point():
            yield name, torch.full_like(one, 2**31 - 1)


def test_no_hints_make_a_violated_property_pass_or_the_check_break(proved):
    _, net, asked, parts = proved
    false = question(net, "0.02", label=other_class(net, asked))
    for place, part in enumerate(parts):
        for name, worse in spoilt(part.tensors):
            changed = replace(part, tensors={**part.tensors, name: worse})
            hints = (*parts[:place], changed, *parts[place + 1 :])
            assert check(net, false, hints) is not None


def middle(asked):
    return torch.tensor([float(one) for one in centre(asked)], dtype=torch.float64)


def test_a_proof_about_other_weights_is_not_accepted_where_they_violate(proved):
    _, net, asked, parts = proved
    last = net.nodes[-1]
    turned = replace(last, bias=last.bias - 2 * net(middle(asked)))  # the order of outputs reversed
    assert check(replace(net, nodes=(*net.nodes[:-1], turned)), asked, parts) is not None


def test_an_unknown_method_proves_nothing():
    net = network(0, [3, 4, 2])
    asked = question(net, "0.001")
    reason = check(net, asked, [Part("oracle", (0,))])
    assert reason is not None
    assert "oracle" in reason


def test_every_stage_that_proves_has_a_check():
    from nncli.verification.stages import STAGES

    assert set(STAGES) - {"attack", "attack-again"} == set(CHECKS)


def test_leaves_of_a_tree_cover_the_box_wherever_it_divides():
    net = network(3, [2, 6, 2])
    box = question(net, "0.2")
    tree = Tree()
    first = tree.plant(1)
    children = tree.divide(first, torch.tensor([0]), torch.tensor([50.0]))  # beyond the box
    tree.divide(children[:1], torch.tensor([1]), torch.tensor([0.5]))
    done = tree.done()
    tensors = {"tree.place": done.place, "tree.at": done.at, "tree.child": done.child}
    proof = decide(net, box, lambda point: False, Setting("input-split", 60.0)).verdict
    accepted = check(net, box, [Part("input-split", (0,), tensors)]) is None
    assert accepted == (proof == "verified")


@pytest.mark.parametrize(
    "changed",
    [
        {"tree.child": torch.tensor([0, -1, -1])},  # a circle
        {"tree.child": torch.tensor([2, -1, -1])},  # beyond the end
        {"tree.at": torch.tensor([torch.nan, 0.0, 0.0])},
        {"tree.place": torch.tensor([7, -1, -1])},
        {"tree.place": torch.tensor([-1, -1, -1])},
        {"tree.at": torch.tensor([0.5])},
    ],
)
def test_trees_that_are_none_are_refused(changed):
    sound = {
        "tree.place": torch.tensor([0, -1, -1]),
        "tree.at": torch.tensor([0.5, 0.0, 0.0]),
        "tree.child": torch.tensor([1, -1, -1]),
    }
    assert tree_of(sound, 1, 2) is not None
    assert tree_of(sound | changed, 1, 2) is None
    assert tree_of(sound, 4, 2) is None


def cases():
    box = Limits((F(1, 3), F(0)), (F(1, 2), F(0)), frozenset({0}), frozenset())
    near = Near((F(2, 5), F(0)), F(1, 7), 2)
    one = Linear(((0, F(1, 10)),), ((1, F(2)), (0, F(-1, 3))), F(5, 7), True)
    return [ExactCase(box, (one,), near), ExactCase(box, (Linear((), ((0, F(1)),)),))]


def test_exact_text_gives_the_question_back_to_the_last_digit():
    asked = property_of("x", cases(), inputs=2, outputs=2)
    text = exact_text(asked, (1, 2), 2)
    stored = read_exact(text, "x", "file")
    assert stored.shape == (1, 2)
    assert exact_text(stored.question, stored.shape, stored.outputs) == text
    for mine, other in zip(asked.violations, stored.question.violations, strict=True):
        assert torch.equal(mine.outputs, other.outputs)
        assert torch.equal(mine.constants, other.constants)
        assert torch.equal(mine.region.low, other.region.low)


@pytest.mark.parametrize("change", ["1/3", "5/7", "1/7", "true", "2/5", "[0]"])
def test_whatever_is_changed_in_a_question_changes_its_digest(change):
    text = exact_text(property_of("x", cases(), inputs=2, outputs=2), (1, 2), 2)
    assert change in text
    new = {"true": "false", "[0]": "[1]"}.get(change, "11/13")
    changed = text.replace(change, new, 1)
    assert digest(changed) != digest(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"1/3"', '"1/0"'),
        ('"1/3"', '"0.3"'),
        ('"1/3"', "0.3"),
        ('"1/3"', '"9"'),  # an empty box
        ('"strict":true', '"strict":1'),
        ('"norm":2', '"norm":3'),
        ('"box":0', '"box":5'),
        ('"box":0', '"box":-1'),
        ("[1,2]", "[1,3]"),
        ("{", "["),
    ],
)
def test_text_that_is_no_question_is_refused(old, new):
    text = exact_text(property_of("x", cases(), inputs=2, outputs=2), (1, 2), 2)
    assert old in text
    with pytest.raises(ArtifactError, match="is damaged"):
        read_exact(text.replace(old, new, 1), "x", "file")


def test_only_comparisons_of_two_outputs_are_the_same_with_a_softmax():
    net = network(0, [3, 4, 3])
    assert is_ranking(question(net, "0.1"))
    assert not is_ranking(property_of("x", cases(), inputs=2, outputs=2))
    scaled = [ExactCase(cases()[0].box, (Linear((), ((0, F(1)), (1, F(-2)))),))]
    assert not is_ranking(property_of("x", scaled, inputs=2, outputs=2))


def test_exact_text_is_json_that_any_program_can_read():
    text = exact_text(property_of("x", cases(), inputs=2, outputs=2), (1, 2), 2)
    assert json.loads(text)["boxes"][0]["low"] == ["1/3", "0"]
