"""Stages one after the other, cheap ones first, until a property is decided or time is up."""

import time

from nncli.verification.certifying.recording import proof_of
from nncli.verification.clock import Clock, OutOfTime
from nncli.verification.gathering import decide_together
from nncli.verification.network import Network
from nncli.verification.properties import Property
from nncli.verification.queries import queries
from nncli.verification.squares import with_squares
from nncli.verification.stages import AUTO, AUTO_OF_SQUARES, STAGES, Confirm, Setting, Work
from nncli.verification.standing import Answer, Standing


def decide(network: Network, question: Property, confirm: Confirm, setting: Setting) -> Answer:
    """Prove a property, or find a counterexample.

    Args:
        network: The network.
        question: The property.
        confirm: Whether an input (n,), float64 that holds float32 numbers, violates the property
            on the original network, exactly.
        setting: How to go about it.

    Returns:
        The answer. Time that runs out is one.

    Raises:
        KeyError: There is no such method.
    """
    whole = with_squares(network, question.squares)
    work = Work(whole, confirm, setting, Clock(setting.timeout))
    standings = [Standing.of(query) for query in queries(question)]
    timed_out = False
    try:
        if setting.method == "auto" and question.squares is None:
            decide_together(work, standings)
        for name in order(setting.method, squares=question.squares is not None):
            if _cannot_be_proved(work, standings):
                break
            for standing in standings:
                if work.counterexample is None and len(standing.left):
                    begun = time.monotonic()
                    try:
                        work.clock.check()
                        STAGES[name].run(work, standing)
                    finally:
                        spent = time.monotonic() - begun
                        work.seconds[name] = work.seconds.pop(name, 0.0) + spent  # the last
    except OutOfTime:
        timed_out = True
    return _answer(work, standings, timed_out=timed_out)


def order(method: str, *, squares: bool = False) -> tuple[str, ...]:
    """The stages of a method, in order.

    Args:
        method: `auto` or the name of a stage.
        squares: Whether conditions speak of squares.

    Raises:
        KeyError: There is none of that name.
    """
    if method == "auto":
        return AUTO_OF_SQUARES if squares else AUTO
    return (*STAGES[method].needs, method)


def _cannot_be_proved(work: Work, standings: list[Standing]) -> bool:
    """Whether a strengthened property was missed by a point, and attacks have had their turn."""
    if not work.setting.strengthened or "attack-again" not in work.seconds:
        return False
    return any(float(one.nearest.min()) <= 0 for one in standings)


def _answer(work: Work, standings: list[Standing], *, timed_out: bool) -> Answer:
    bound = min((float(one.margins.min()) for one in standings), default=float("inf"))
    attacked = min((float(one.nearest.min()) for one in standings), default=float("inf"))
    if work.counterexample is not None:
        return Answer("violated", bound, attacked, _last(work), work.seconds, work.counterexample)
    if all(not len(one.left) for one in standings):
        deciders = {decider for one in standings for decider in one.deciders}
        last = next((one for one in reversed(list(work.seconds)) if one in deciders), "")
        proof = proof_of(standings) if work.setting.record else ()
        return Answer("verified", bound, attacked, last, work.seconds, proof=proof)
    verdict = "timeout" if timed_out else "unknown"
    return Answer(verdict, bound, attacked, "", work.seconds)


def _last(work: Work) -> str:
    return next(reversed(work.seconds))
