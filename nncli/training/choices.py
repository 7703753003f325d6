"""Hyperparameters as a user chooses them, and the recipe they amount to."""

import math
from dataclasses import dataclass

from nncli.attacks import Box, Norm
from nncli.errors import UsageError
from nncli.training.optimizers import LEARNING_RATES, WEIGHT_DECAYS
from nncli.training.recipe import Adversary, Intervals, Recipe

STEPS = 1000
ATTACK_STEPS = 7


@dataclass(frozen=True)
class Choices:
    """Hyperparameters; None is left to the defaults.

    Attributes:
        steps: Number of updates, or
        epochs: passes over the data.
        optimizer: A key of `nncli.training.OPTIMIZERS`.
        learning_rate: Constant learning rate.
        momentum: Momentum of sgd.
        weight_decay: Decay rate of the weights.
        batch_size: Examples per update.
        epsilon: Radius of the ball of robust training; 0 for ordinary training.
        defence: How the worst of the ball is found: `pgd` attacks, `ibp` bounds it by intervals.
        norm: Norm of the ball.
        attack_steps: Steps of the attack.
        attack_step_size: Length of each.
        noise: Standard deviation of the normal noise added to inputs; 0 for none.
    """

    steps: int | None = None
    epochs: int | None = None
    optimizer: str = "adam"
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    batch_size: int = 64
    epsilon: float = 0.0
    defence: str | None = None
    norm: Norm | None = None
    attack_steps: int | None = None
    attack_step_size: float | None = None
    noise: float = 0.0

    def recipe(self, examples: int, *, box: Box | None) -> Recipe:
        """Settle what was left open.

        Args:
            examples: How many examples a network is trained on.
            box: Lowest and highest valid input value, for the attack.

        Returns:
            The recipe.

        Raises:
            UsageError: Some choices contradict each other.
        """
        if self.momentum and self.optimizer != "sgd":
            raise UsageError(
                f"`--momentum` is for sgd, not {self.optimizer}", hint="add `--optimizer sgd`"
            )
        if not math.isfinite(self.epsilon + self.noise):
            raise UsageError("`--epsilon` and `--noise` are finite numbers")
        if self.noise and self.epsilon:
            raise UsageError(
                "`--noise` and `--epsilon` exclude each other", hint="give one of them"
            )
        rate, decay = self.learning_rate, self.weight_decay
        return Recipe(
            steps=self._steps(examples),
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=LEARNING_RATES[self.optimizer] if rate is None else rate,
            momentum=self.momentum or 0.0,
            weight_decay=WEIGHT_DECAYS[self.optimizer] if decay is None else decay,
            adversary=self._adversary(box),
            noise=self.noise,
            intervals=self._intervals(box),
        )

    def _steps(self, examples: int) -> int:
        if self.epochs is None:
            return STEPS if self.steps is None else self.steps
        if self.steps is not None:
            raise UsageError("`--steps` and `--epochs` say the same twice", hint="give one of them")
        return math.ceil(self.epochs * examples / min(self.batch_size, examples))

    def _adversary(self, box: Box | None) -> Adversary | None:
        if self.epsilon and self.defence != "ibp":
            steps = self.attack_steps or ATTACK_STEPS
            size = self.attack_step_size or 2.5 * self.epsilon / steps
            return Adversary(self.epsilon, self.norm or "linf", steps, size, box)
        if self.defence and not self.epsilon:
            raise UsageError(
                "`--defence` needs a ball", hint="give its radius, such as `--epsilon 0.1`"
            )
        if self.norm or self.attack_steps or self.attack_step_size:
            self._refuse_ball()
        return None

    def _refuse_ball(self) -> None:
        """Refuse options of an attack where there is none."""
        if not self.epsilon:
            raise UsageError(
                "`--norm`, `--attack-steps` and `--attack-step-size` need a ball",
                hint="give its radius, such as `--epsilon 0.1`",
            )
        if self.attack_steps or self.attack_step_size:
            raise UsageError(
                "`--defence ibp` has no attack, so neither `--attack-steps` nor its step size",
                hint="leave them out, or train with `--defence pgd`",
            )
        if self.norm != "linf":
            raise UsageError(
                f"intervals fill the ball of linf, not of {self.norm}",
                hint="leave out `--norm`, or train with `--defence pgd`",
            )

    def _intervals(self, box: Box | None) -> Intervals | None:
        return Intervals(self.epsilon, box) if self.defence == "ibp" else None
