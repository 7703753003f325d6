"""Local robustness: no input near an example is given another class."""

from collections.abc import Sequence
from fractions import Fraction

from torch import Tensor

from nncli.errors import MismatchError, UsageError
from nncli.verification.asking import property_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear, Near
from nncli.verification.wording import number_words

NORMS = {"linf": 0, "l1": 1, "l2": 2}
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
    if norm not in NORMS:
        raise UsageError(f"there is no norm `{norm}`; there are `linf`, `l2` and `l1`")
    if not 0 <= label < outputs or outputs < 2:
        raise MismatchError(
            f"example `{name}` is of class {label}, the network has {outputs} outputs",
            hint="robustness is about networks with one output for each class",
        )
    if not bool(example.isfinite().all()):
        raise MismatchError(f"example `{name}` holds numbers that are not finite")
    centre = tuple(map(Fraction, example.detach().double().flatten().tolist()))
    radii = exact_amounts(epsilon, len(centre), "epsilon")
    if min(radii) < 0:
        raise UsageError(f"epsilon `{number_words(min(radii))}` is negative")
    near = None
    if norm != "linf":
        if len(set(radii)) > 1:
            raise UsageError(f"in the norm `{norm}` epsilon is one number for all features")
        near = Near(centre, radii[0], NORMS[norm])
    box = _box(name, centre, radii, limits)
    one = Fraction(1)
    cases = [
        ExactCase(box, (Linear((), tuple(sorted(((other, one), (label, -one))))),), near)
        for other in range(outputs)
        if other != label
    ]
    words = _words(label, radii, norm, limits)
    return property_of(name, cases, inputs=len(centre), outputs=outputs, words=words)


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
        if not under <= at <= over:
            raise MismatchError(
                f"example `{name}`, feature {place}: {number_words(at)} lies outside of "
                f"[{number_words(under)}, {number_words(over)}]",
                hint="are the limits those of the data as the network is given them?",
            )
    return Limits(tuple(map(max, low, least)), tuple(map(min, high, most)))


def _words(
    label: int,
    radii: tuple[Fraction, ...],
    norm: str,
    limits: tuple[Amount, Amount] | None,
) -> str:
    least, most = number_words(min(radii), 6), number_words(max(radii), 6)
    reach = least if least == most else f"{least} to {most}, by feature,"
    inside = ""
    if limits is not None:
        inside = " and the limits of the data"
        if all(isinstance(one, Fraction | float | int | str) for one in limits):
            inside = f" and within [{limits[0]}, {limits[1]}]"
    return f"holds if Y_{label} exceeds every other output within {reach} of it ({norm}){inside}"
