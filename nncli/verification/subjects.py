"""A network under verification: as it is proved about, and as it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nncli.errors import ArtifactError
from nncli.forward import Batch, first_tensor, run
from nncli.verification.exact import Asked
from nncli.verification.lowering import lower
from nncli.verification.lowering.agreement import demand_same
from nncli.verification.network import Network
from nncli.verification.replaying import violates

if TYPE_CHECKING:
    from nncli.verification.float32.original import Original


@dataclass(frozen=True)
class Subject:
    """A network.

    Attributes:
        name: The checkpoint as given.
        original: The module as it was loaded; counterexamples are replayed on it.
        network: The same as linear maps and activations, in float64.
        digest: Digest of the checkpoint.
        drop_softmax: Whether a softmax over all outputs was left out of `network`.
    """

    name: str
    original: nn.Module
    network: Network
    digest: str
    drop_softmax: bool

    def demand_same(self, low: Tensor, high: Tensor) -> None:
        """Refuse the network if its two forms disagree in a box.

        Args:
            low: (n,) lower limits.
            high: (n,) upper limits.

        Raises:
            ArtifactError: They do.
        """
        demand_same(
            self.network,
            self.original,
            low,
            high,
            source=self.name,
            drop_softmax=self.drop_softmax,
        )

    def outputs(self, x: Tensor) -> Tensor:
        """What the original gives, in its own arithmetic.

        Args:
            x: (B, n) inputs.

        Returns:
            (B, m) outputs.
        """
        with torch.inference_mode():
            shaped = x.float().reshape(-1, *self.network.shape)
            found = first_tensor(run(self.original, Batch(0, shaped, None)))
        if found is None:
            raise ArtifactError(f"`{self.name}` puts out no tensor")
        return found.reshape(len(x), -1)

    @cached_property
    def as_it_runs(self) -> "Original":
        """What the original does in float32, operator by operator.

        Raises:
            ArtifactError: It does something else, or how that rounds is not known.
        """
        from nncli.verification.float32.original import original
        from nncli.verification.float_margin import demand_single

        demand_single(self.original, self.network.shape, self.name)
        found = original(self.original, self.network.shape, source=self.name)
        middle = torch.full((self.network.inputs,), 0.5, dtype=torch.float64)
        same = torch.equal(found.network(middle), self.network(middle))
        assert same, "a network is lowered in one way"
        return found

    def confirming(self, question: Asked) -> Callable[[Tensor], bool]:
        """The exact test of whether an input (n,) violates a property on the original network."""
        return lambda x: violates(question, x, self.outputs(x[None])[0])


def subject(
    name: str, digest: str, module: nn.Module, shape: tuple[int, ...], *, drop_softmax: bool
) -> Subject:
    """Prepare a network for verification.

    Args:
        name: The checkpoint as given.
        digest: Its digest.
        module: The network.
        shape: Shape of one example.
        drop_softmax: See `nncli.verification.lowering.lower`.

    Returns:
        The network in both forms.

    Raises:
        ArtifactError: It has an operator that cannot be verified.
        MismatchError: It cannot take such examples.
    """
    network = lower(module, shape, source=name, drop_softmax=drop_softmax)
    return Subject(name, module, network, digest, drop_softmax)
