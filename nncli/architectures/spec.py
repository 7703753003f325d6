"""What an architecture spec says, and the choices there are."""

from dataclasses import dataclass, replace

EXAMPLES = {
    "mlp": "mlp:64-128-64-10",
    "cnn": "cnn:1x8x8-c16-c32-p-64-10",
    "transformer": "transformer:8x8-d32-h4-b2-10",
    "rnn": "rnn:8x8-64-10",
}
EXPLANATIONS = {
    "mlp": "inputs, hidden widths, outputs",
    "cnn": "channels x height x width, then `cK` a 3x3 convolution with K channels, `p` a 2x2 max "
    "pool, a number a dense layer; the last number is the outputs",
    "transformer": "length x features (or `v50x16`: vocabulary x length), `d` width, `h` heads, "
    "`b` blocks, outputs",
    "rnn": "length x features (or `v50x16`: vocabulary x length), hidden widths, outputs",
}
ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid", "leaky-relu", "elu", "silu", "identity")
INITIALISATIONS = ("default", "he", "glorot", "orthogonal", "lecun", "normal", "zero")
CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "act": dict.fromkeys(EXAMPLES, ACTIVATIONS) | {"rnn": ("tanh", "relu")},
    "init": dict.fromkeys(EXAMPLES, INITIALISATIONS),
    "norm": {
        "mlp": ("none", "batch", "layer"),
        "cnn": ("none", "batch", "layer"),
        "transformer": ("layer", "none"),
    },
    "cell": {"rnn": ("rnn", "gru", "lstm")},
    "pool": {"transformer": ("mean", "last", "none"), "rnn": ("last", "mean", "none")},
}
OPTIONS = ("act", "init", "gain", "norm", "cell", "pool", "causal")


@dataclass(frozen=True)
class Spec:
    """A parsed architecture spec; `str` gives its canonical form.

    Attributes:
        family: `mlp`, `cnn`, `transformer` or `rnn`.
        input_shape: Shape of one example, without the batch: (64,), (1, 8, 8), (length, features);
            (length,) where the inputs are token ids.
        vocabulary: Number of token ids, `None` for inputs that are real numbers.
        layers: The layers in order, each a word and a number: ("dense", 64), ("conv", 16),
            ("pool", 2), ("recurrent", 64); a transformer has ("width", d), ("heads", h),
            ("blocks", b).
        outputs: Size of the output.
        act: Activation function.
        init: Initialisation scheme.
        gain: Factor on the initial weights.
        norm: Normalisation between a linear map and its activation.
        cell: Kind of recurrent cell (rnn only).
        pool: How positions become one vector (transformer, rnn).
        causal: Whether a position attends only to those before it (transformer only).
    """

    family: str
    input_shape: tuple[int, ...]
    vocabulary: int | None
    layers: tuple[tuple[str, int], ...]
    outputs: int
    act: str = ""
    init: str = "default"
    gain: float = 1.0
    norm: str = ""
    cell: str = ""
    pool: str = ""
    causal: bool = False

    def __str__(self) -> str:
        letters = {"conv": "c", "width": "d", "heads": "h", "blocks": "b"}
        words = [
            "p" if kind == "pool" else f"{letters.get(kind, '')}{n}" for kind, n in self.layers
        ]
        shape = "x".join(map(str, self.input_shape))
        start = shape if self.vocabulary is None else f"v{self.vocabulary}x{shape}"
        text = f"{self.family}:" + "-".join([start, *words, str(self.outputs)])
        usual = with_defaults(replace(self, act="", init="default", norm="", cell="", pool=""))
        for key in ("act", "init", "norm", "cell", "pool"):
            if getattr(self, key) != getattr(usual, key):
                text += f",{key}={getattr(self, key)}"
        if self.gain != 1:
            text += f",gain={self.gain!r}"
        return text + (",causal" if self.causal else "")


def with_defaults(spec: Spec) -> Spec:
    """Fill the options that a spec leaves open: the first choice of its family each."""
    family = spec.family
    return replace(
        spec,
        act=spec.act or {"transformer": "gelu", "rnn": "tanh"}.get(family, "relu"),
        norm=spec.norm or _first("norm", family),
        cell=spec.cell or _first("cell", family),
        pool=spec.pool or ("last" if spec.causal else _first("pool", family)),
    )


def _first(key: str, family: str) -> str:
    return CHOICES[key].get(family, ("",))[0]
