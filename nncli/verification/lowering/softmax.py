"""Softmax: never bounded here, and left out at the very end where that is asked for."""

from typing import Any

from nncli.verification.lowering.values import Value
from nncli.verification.lowering.work import Handler, Mark, Marked, Work


def softmax(work: Work, func: Any, x: Value, over: int, *rest: Any) -> Marked:
    """Mark what goes in."""
    name = func._schema.name.partition("::")[2]
    whole = x.ndim > 0 and x.shape[over] == x.size
    return Marked(x, Mark(name, work.message(name), is_softmax=whole))


HANDLERS: dict[str, Handler] = {"_log_softmax": softmax, "_softmax": softmax}
