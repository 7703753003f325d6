"""What holds near an example: it keeps its class, or outputs stay near those of the example."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf, isinf, nextafter, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from nncli.errors import MismatchError, UsageError
from nncli.verification.asking import property_of
from nncli.verification.directed import above, below, nearest
from nncli.verification.exact import Asked, ExactCase, Limits, Linear, Near
from nncli.verification.network import Network
from nncli.verification.wording import number_words

NORMS = {"linf": 0, "l1": 1, "l2": 2}
SIZELESS = 1e-300  # positive margins below say that a search has closed every case
Number = Fraction | float | str
Amount = Number | Sequence[Number] | Tensor


def exact_amounts(amount: Amount, count: int, what: str) -> tuple[Fraction, ...]:
    """One exact number for each feature.

    Args:
        amount: A number for all of them, or one for each. Text means what it says (`0.1`, `8/255`),
            floating point what is stored, which is not quite 0.1.
        count: Features.
        what: What it is, for errors: `epsilon`.

    Returns:
        The numbers.

    Raises:
        UsageError: It is no number, or there are too few or too many.
    """
    if isinstance(amount, Tensor):
        amount = amount.detach().double().flatten().tolist()
    if isinstance(amount, str | float | int | Fraction):
        return (_exact(amount, what),) * count
    if len(amount) != count:
        raise UsageError(f"{what} has {len(amount):,} numbers, an example has {count:,} features")
    return tuple(one if isinstance(one, Fraction) else _exact(one, what) for one in amount)


def _exact(number: Number, what: str) -> Fraction:
    if isinstance(number, str) and len(number) > 40:
        raise UsageError(f"{what} `{number[:40]}...` is no number of ordinary length")
    try:
        mantissa, _, power = str(number).lower().partition("e")
        if mantissa and abs(int(power or "0")) > 400:
            raise ValueError
        return Fraction(number)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise UsageError(
            f"{what} `{number}` is no number", hint="give for example `0.1` or `8/255`"
        ) from None


def robustness(
    name: str,
    example: Tensor,
    label: int,
    epsilon: Amount,
    *,
    outputs: int,
    norm: str = "linf",
    limits: tuple[Amount, Amount] | None = None,
) -> Asked:
    """That every input near an example is given its class: its output exceeds all others.

    Args:
        name: What the example is called.
        example: (...) the example; what its floating point stores is meant, exactly.
        label: Its class.
        epsilon: How far inputs may be; one a feature only in the maximum norm.
        outputs: Outputs of the network.
        norm: `linf`, `l1` or `l2`.
        limits: The least and the greatest that features can be.

    Returns:
        The property: one violation for each other class, all in one region.

    Raises:
        MismatchError: The network has no such class, or the example lies outside of the limits.
        UsageError: Epsilon is negative or no number, the norm is unknown, or the l1 or l2 norm is
            asked for with an epsilon for each feature.
    """
    if not 0 <= label < outputs or outputs < 2:
        raise MismatchError(
            f"example `{name}` is of class {label}, the network has {outputs} outputs",
            hint="robustness is about networks with one output for each class",
        )
    where = _surroundings(name, example, epsilon, norm, limits)
    one = Fraction(1)
    cases = [
        ExactCase(
            where.box, (Linear((), tuple(sorted(((other, one), (label, -one))))),), where.near
        )
        for other in range(outputs)
        if other != label
    ]
    words = f"holds if Y_{label} exceeds every other output within {where.told('it')}"
    return property_of(name, cases, inputs=len(where.box.low), outputs=outputs, words=words)


def stability(
    name: str,
    example: Tensor,
    usual: Tensor,
    change: Amount,
    epsilon: Amount,
    *,
    norm: str = "linf",
    limits: tuple[Amount, Amount] | None = None,
) -> Asked:
    """That at every input near an example the outputs are near those of the example.

    Args:
        name: What the example is called.
        example: (...) the example.
        usual: (m,) its outputs; see `usual_outputs`.
        change: How far outputs may be from them, in the Euclidean norm.
        epsilon: How far inputs may be; see `robustness`.
        norm: `linf`, `l1` or `l2`, of inputs.
        limits: The least and the greatest that features can be.

    Returns:
        The property, quadratic: margins are of squared distances.

    Raises:
        MismatchError: The example lies outside of the limits, or an output is not finite.
        UsageError: A number is negative or none; see `robustness`.

    References:
        Dathathri et al. 2020, section 6.2: a decoder under changes of the latent code.
    """
    (most,) = exact_amounts(change, 1, "the change of outputs")
    if most < 0:
        raise UsageError(f"the change of outputs `{number_words(most)}` is negative")
    where = _surroundings(name, example, epsilon, norm, limits)
    if not bool(usual.isfinite().all()):
        raise MismatchError(f"example `{name}` has outputs that are not finite")
    centre = [Fraction(one) for one in usual.double().flatten().tolist()]
    farther = Linear(
        (),
        tuple((place, -2 * at) for place, at in enumerate(centre) if at),
        sum((at * at for at in centre), -(most**2)),
        True,
        tuple((~place, ~place, Fraction(1)) for place in reversed(range(len(centre)))),
    )
    case = ExactCase(where.box, (farther,), where.near)
    told = where.told("the example")
    words = f"holds if outputs move by at most {number_words(most, 6)} (l2) within {told}"
    sizes = {"inputs": len(where.box.low), "outputs": len(centre)}
    return property_of(name, [case], **sizes, words=words)


def margin_of_distance(margin: float, change: Amount) -> float:
    """How much less than allowed a distance is, from the margin of its square.

    Args:
        margin: What the square of the distance leaves of that of the change, or a bound of it.
        change: The change that is allowed.

    Returns:
        What the distance leaves of the change, rounded down; 0 at least where the margin is
        positive. Margins without a size (infinite, or known to be positive and no more) stay.
    """
    if isinf(margin) or 0 < margin < SIZELESS:
        return margin
    (most,) = exact_amounts(change, 1, "the change of outputs")
    square = max(most**2 - Fraction(margin), Fraction(0))
    distance = nextafter(sqrt(above(square)), inf) if square else 0.0
    found = below(most - Fraction(distance))
    return max(found, 0.0) if margin > 0 else found


def usual_outputs(network: Network, x: Tensor) -> Tensor:
    """What a network puts out, as numbers of float32 that do not depend on the machine.

    Computed in float64 and rounded, so that questions about them are the same everywhere, but where
    an output lies in the middle of two numbers.

    Args:
        network: The network.
        x: (n,) an input.

    Returns:
        (m,) the outputs, in float64.
    """
    return network(x.flatten().double()).float().double()


def outputs_at(network: Network, point: Sequence[Fraction]) -> list[Fraction]:
    """The same for an exact input, the nearest of float64 to which is taken."""
    x = torch.tensor([nearest(one) for one in point], dtype=torch.float64)
    found = usual_outputs(network, x)
    if not bool(found.isfinite().all()):
        raise MismatchError("the network puts out numbers there that are not finite")
    return [Fraction(one) for one in found.tolist()]


class _Surroundings(NamedTuple):
    """Inputs near an example, and how one would say it."""

    box: Limits
    near: Near | None
    reach: str
    inside: str

    def told(self, of: str) -> str:
        """`0.1 of it (linf) and within [0, 1]`."""
        return f"{self.reach} of {of} {self.inside}"


def _surroundings(
    name: str,
    example: Tensor,
    epsilon: Amount,
    norm: str,
    limits: tuple[Amount, Amount] | None,
) -> _Surroundings:
    if norm not in NORMS:
        raise UsageError(f"there is no norm `{norm}`; there are `linf`, `l2` and `l1`")
    if not bool(example.isfinite().all()):
        raise MismatchError(f"example `{name}` holds numbers that are not finite")
    centre = tuple(map(Fraction, example.detach().double().flatten().tolist()))
    radii = exact_amounts(epsilon, len(centre), "epsilon")
    if min(radii) < 0:
        raise UsageError(f"epsilon `{number_words(min(radii))}` is negative")
    near = None
    if norm != "linf":
        if len(set(radii)) > 1:
            raise UsageError(
                f"in the norm `{norm}` epsilon is one number for all features",
                hint="with `--norm linf` each feature may have its own",
            )
        near = Near(centre, radii[0], NORMS[norm])
    box = _box(name, centre, radii, limits)
    return _Surroundings(box, near, *_words(radii, norm, limits))


def _box(
    name: str,
    centre: tuple[Fraction, ...],
    radii: tuple[Fraction, ...],
    limits: tuple[Amount, Amount] | None,
) -> Limits:
    low = tuple(at - radius for at, radius in zip(centre, radii, strict=True))
    high = tuple(at + radius for at, radius in zip(centre, radii, strict=True))
    if limits is None:
        return Limits(low, high)
    least, most = (
        exact_amounts(one, len(centre), what)
        for one, what in zip(limits, ("the least value", "the greatest value"), strict=True)
    )
    for place, (at, under, over) in enumerate(zip(centre, least, most, strict=True)):
        if under > over:
            raise UsageError(
                f"the least value `{number_words(under)}` is above the greatest one "
                f"`{number_words(over)}`"
            )
        if not under <= at <= over:
            raise MismatchError(
                f"example `{name}`, feature {place}: {number_words(at)} lies outside of "
                f"[{number_words(under)}, {number_words(over)}]",
                hint="are the limits those of the data as the network is given them?",
            )
    return Limits(tuple(map(max, low, least)), tuple(map(min, high, most)))


def _words(
    radii: tuple[Fraction, ...], norm: str, limits: tuple[Amount, Amount] | None
) -> tuple[str, str]:
    least, most = number_words(min(radii), 6), number_words(max(radii), 6)
    reach = least if least == most else f"{least} to {most}, by feature,"
    inside = ""
    if limits is not None:
        inside = " and the limits of the data"
        if all(isinstance(one, Fraction | float | int | str) for one in limits):
            inside = f" and within [{limits[0]}, {limits[1]}]"
    return reach, f"({norm}){inside}"
