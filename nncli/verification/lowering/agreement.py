"""Whether a lowered network is the network it was made from."""

import torch
from torch import Tensor, nn

from nncli.errors import ArtifactError, MismatchError
from nncli.forward import Batch, dtype_of, first_tensor, run
from nncli.tracing import watched
from nncli.verification.lowering.lower import as_double
from nncli.verification.network import Network, Sum

POINTS = 3  # random ones, besides the middle
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
LOW_PRECISION = 0.05  # of networks in half precision


def demand_same(
    network: Network,
    original: nn.Module,
    low: Tensor,
    high: Tensor,
    *,
    source: str,
    drop_softmax: bool = False,
) -> None:
    """Refuse a lowered network whose outputs are not those of the original.

    Both are run at the middle of a box and at a few points drawn in it: the original with weights
    of float64, where nothing but the order of sums may differ (one part in 10^9), and as it is (one
    part in 10^4 in float32). Parts are of the sum of the absolute values that are added up for an
    output, so that cancellation is no difference.

    Args:
        network: The lowered network.
        original: The network, in evaluation mode.
        low: (n,) lower limits of the box.
        high: (n,) upper limits.
        source: The file, for the error.
        drop_softmax: Whether a softmax may have been left out.

    Raises:
        ArtifactError: They differ; the layer where they first do is named, if it is known. Or the
            original puts out numbers that are not finite.
    """
    spread = torch.rand(POINTS, len(low), generator=torch.Generator().manual_seed(0)).double()
    points = torch.cat([(low + high)[None] / 2, low + spread * (high - low)])
    for each in (original, as_double(original)):
        tolerance = TOLERANCES.get(dtype_of(each), LOW_PRECISION)
        for x in points:
            rounded = x.to(dtype_of(each)).double()
            try:
                wanted = _outputs(each, rounded, network.shape)
            except MismatchError:
                if each is original:
                    raise
                break  # it holds numbers of another type and cannot be taken to float64
            found = network(rounded)
            room = tolerance * _magnitudes(network, rounded)
            forms = _forms(found) if drop_softmax else [found]
            if not any(_near(one, wanted, room) for one in forms):
                if not bool(wanted.isfinite().all()):
                    raise _without_end(source, original)
                raise ArtifactError(
                    f"`{source}` and what is verified in its place differ{_place(network, x, each)}"
                    f": by {_gap(found, wanted)}",
                    hint="this is a defect of nncli; please report the network",
                )


def _without_end(source: str, original: nn.Module) -> ArtifactError:
    """Why a network puts out numbers that are not finite, as far as it can be seen."""
    for path, one in original.named_parameters():
        if not bool(one.isfinite().all()):
            return ArtifactError(
                f"`{source}`: the weights `{path}` hold numbers that are not finite",
                hint="nothing can be proved of them: did the training diverge?",
            )
    return ArtifactError(
        f"`{source}` puts out numbers that are not finite for inputs that are asked about",
        hint="are limits of the inputs, or sums of its layers, beyond what float32 holds (3.4e38)?",
    )


def _outputs(network: nn.Module, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    with torch.no_grad():
        answer = first_tensor(run(network, Batch(0, x.reshape(1, *shape), None)))
    assert answer is not None, "it has been lowered"
    return answer.flatten().double()


def _magnitudes(network: Network, x: Tensor) -> Tensor:
    """The sums of the absolute values that are added up for each output."""
    if not network.nodes:
        return x.abs()
    values, last = network.values(x), network.nodes[-1]
    assert isinstance(last, Sum), "outputs are sums"
    total = last.bias.abs()
    for parent, one in zip(last.parents, last.magnitudes, strict=True):
        total = total + one.apply(values[parent].abs())
    return total


def _forms(outputs: Tensor) -> list[Tensor]:
    return [outputs, outputs.softmax(-1), outputs.log_softmax(-1)]


def _near(found: Tensor, wanted: Tensor, room: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    # the largest sum of all: a softmax mixes the outputs, and a small one may come from large ones
    return bool(((found - wanted).abs() <= room.max() + 1e-30).all())


def _gap(found: Tensor, wanted: Tensor) -> str:
    if found.shape != wanted.shape:
        return f"{len(found)} outputs and {len(wanted)}"
    return f"up to {float((found - wanted).abs().max()):.2g}"


def _place(network: Network, x: Tensor, original: nn.Module) -> str:
    """The first layer whose outputs differ, in words."""
    values = dict(zip((node.label for node in network.nodes), network.values(x)[1:], strict=True))
    differing: list[str] = []

    def seen(path: str, call: int, tensor: Tensor) -> None:
        ours, theirs = values.get(path), tensor.flatten().double()
        if ours is None or ours.shape != theirs.shape or differing:
            return
        if bool(((ours - theirs).abs() > 1e-3 * theirs.abs().max()).any()):
            differing.append(path)

    modules = {path: one for path, one in original.named_modules() if path in values}
    with watched(modules, "output", seen):
        _outputs(original, x, network.shape)
    return f", first after `{differing[0]}`" if differing else ""
