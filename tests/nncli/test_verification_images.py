"""Verdicts about small networks over images: pools, residual connections, gaps, groups, edges.

What is called verified must not be broken by many gradient steps on the module itself, no bound may
be above what those reach, and every proof must be accepted by the check.
"""

import pytest
import torch
from torch import Tensor, nn

from nncli.verification.certifying.checking import check
from nncli.verification.lowering import lower
from nncli.verification.neighbourhoods import robustness
from nncli.verification.portfolio import decide
from nncli.verification.stages import Setting

SIDE, CLASSES = 6, 3


class Around(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(2, 2, 3, 1, 1) for _ in range(2))
        self.norm = nn.BatchNorm2d(2)
        self.norm.running_mean = torch.tensor([0.3, -0.2])
        self.norm.running_var = torch.tensor([0.5, 2.0])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


NETWORKS = {
    "maxima": (nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "maxima of curves": (nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2, ceil_mode=True)),
    "means": (
        nn.Conv2d(1, 2, 3),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    ),
    "residual": (nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), Around(), nn.AdaptiveAvgPool2d(2)),
    "gaps and groups": (
        nn.Conv2d(1, 2, 2, dilation=2, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv2d(2, 4, 3, 2, groups=2),
        nn.Sigmoid(),
    ),
}


def least_margin(network: nn.Module, low: Tensor, high: Tensor, label: int) -> float:
    """The least margin that gradient steps from many points reach, in float64."""
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(200, len(low), generator=generator).double()
    share[100:] = share[100:].round()
    x, best = low + share * (high - low), torch.inf
    for turn in range(40):
        x = x.detach().requires_grad_(True)
        outputs = network(x.reshape(-1, 1, SIDE, SIDE))
        others = torch.cat([outputs[:, :label], outputs[:, label + 1 :]], dim=1)
        margins = outputs[:, label] - others.amax(1)
        best = min(best, float(margins.detach().min()))
        (slope,) = torch.autograd.grad(margins.sum(), x)
        step = 0.2 * (1 - turn / 40) * (high - low)
        x = torch.minimum(torch.maximum(x - step * slope.sign(), low), high)
    return best


@pytest.mark.parametrize("epsilon", ["0.1", "0.4"])
@pytest.mark.parametrize("name", NETWORKS)
def test_verdicts_of_networks_over_images_are_never_wrong(name: str, epsilon: str) -> None:
    torch.manual_seed(len(name))
    for layer in NETWORKS[name]:
        for one in layer.modules():
            if isinstance(one, nn.Conv2d):
                one.reset_parameters()
    front = nn.Sequential(*NETWORKS[name], nn.Flatten()).float().eval()
    size = front(torch.zeros(1, 1, SIDE, SIDE)).shape[1]
    module = nn.Sequential(front, nn.Linear(size, CLASSES)).double().eval()
    network = lower(module, (1, SIDE, SIDE), source="net")
    for _ in range(2):
        x = torch.rand(1, SIDE, SIDE)
        label = int(module(x.double()[None]).argmax())
        question = robustness("", x, label, epsilon, outputs=CLASSES, limits=(0, 1))
        region = question.violations[0].region
        best = least_margin(module, region.low, region.high, label)

        def broken(point: Tensor, label: int = label) -> bool:
            outputs = module(point.reshape(1, 1, SIDE, SIDE))[0]
            return bool((outputs.argmax() != label).item())

        answer = decide(network, question, broken, Setting(timeout=2, record=True))
        assert answer.bound <= best + 1e-9
        if answer.verdict == "verified":
            assert best > 0
            assert check(network, question, answer.proof) is None
        if answer.verdict == "violated":
            assert answer.counterexample is not None
            assert broken(answer.counterexample)
