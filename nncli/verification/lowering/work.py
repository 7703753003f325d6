"""The state of one lowering, and how it refuses."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncli.errors import ArtifactError
from nncli.verification.lowering.builder import Builder
from nncli.verification.lowering.values import Value

if TYPE_CHECKING:
    from nncli.verification.lowering.tape import Tape

Handler = Callable[..., object]
SUPPORTED = (
    "affine and convolution layers, batch norm, ReLU, leaky ReLU, PReLU, sigmoid, tanh, clip, "
    "absolute values, maxima, max and average pooling, sums, and whatever only moves numbers"
)


@dataclass(frozen=True)
class Mark:
    """Why a tensor must not be used as it is.

    Attributes:
        operator: What made it: `_softmax`, `lt`, ...
        message: What is wrong with using it.
        is_softmax: Whether the value is what goes into a softmax over all its numbers.
    """

    operator: str
    message: str
    is_softmax: bool = False


@dataclass(frozen=True)
class Marked:
    """A value that only some operators may take."""

    value: Value
    mark: Mark


@dataclass
class Work:
    """One lowering.

    Attributes:
        builder: The nodes.
        handlers: What is done for each operator, by its name in ATen.
        settling: Operators that want a node for what they take; true where it may be in another
            order, or some of its numbers.
        marked: Operators that take marked values.
        where: What is running, for errors.
        tape: Takes down what the original does, if that is wanted.
    """

    builder: Builder
    handlers: Mapping[str, Handler]
    settling: Mapping[str, bool]
    marked: Collection[str]
    where: str
    tape: "Tape | None" = None

    def refuse(self, operator: str, why: str = "") -> ArtifactError:
        """The error that says that verification does not know an operator, and where it stands."""
        return self.refusal(self.message(operator, why))

    def message(self, operator: str, why: str = "") -> str:
        """Says so."""
        name = operator.removeprefix("_").removeprefix("native_")
        return f"{self.where} has the operator `{name}`{why}, which verification cannot take"

    def refusal(self, message: str) -> ArtifactError:
        """An error that says what can be taken."""
        return ArtifactError(message, hint=f"it takes {SUPPORTED}")
