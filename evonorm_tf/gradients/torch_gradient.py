"""The gradient of EvoNorms and layer graphs that keeps little (`equations.passes`), for PyTorch."""

from collections.abc import Sequence
from typing import Any

import torch

from evonorm_tf.equations import moments
from evonorm_tf.equations import passes


def evaluate(equation: passes.Equation, x: torch.Tensor, weights: Sequence[torch.Tensor],
             given_moment: torch.Tensor | None = None, jit_compile: bool = False
             ) -> tuple[torch.Tensor, torch.Tensor]:
  """Evaluates an equation, with a custom gradient with respect to x and the weights.

  Args:
    equation, x, weights, given_moment: as for `passes.evaluate`.
    jit_compile: not used: `torch.compile` compiles whole models.

  Returns:
    The pair (y, moment), as from `passes.evaluate`.
  """
  del jit_compile
  y, moment, *_ = _Evaluation.apply(equation, moments.flatten_positions(x), given_moment, *weights)
  return torch.reshape(y, x.shape), moment


def is_compiled_by_default() -> bool:
  """Returns False."""
  return False


def is_needless(training: Any) -> bool:
  """Returns False."""
  return False


class _Evaluation(torch.autograd.Function):
  """(equation, x, given moment, *weights) -> y, moment and statistics, of which y alone has a gradient."""

  generate_vmap_rule = True

  @staticmethod
  def forward(equation, x, given_moment, *weights):
    y, moment, *statistics = passes.forward(equation, 1, x, given_moment, *weights)
    # An output that is an input, as the given moment, would be returned as a view with a gradient.
    return y, moment.clone(), *(t.clone() for t in statistics)

  @staticmethod
  def setup_context(ctx, inputs, output):
    equation, x, given_moment, *weights = inputs
    _, moment, *statistics = output
    ctx.mark_non_differentiable(moment, *statistics)
    ctx.equation, ctx.num_weights = equation, len(weights)
    ctx.save_for_backward(x, given_moment, *weights, *statistics)

  @staticmethod
  def backward(ctx, dy, *_):
    x, given_moment, *rest = ctx.saved_tensors
    weights, statistics = rest[:ctx.num_weights], rest[ctx.num_weights:]
    if torch.is_grad_enabled():  # the gradient is to be differentiated: the statistics must be functions of x
      statistics = passes.moment_and_statistics(ctx.equation, 1, x, given_moment, weights)[1]
    dx, by_weights = passes.backward(ctx.equation, 1, given_moment is not None, x, dy, statistics, *weights)
    return None, dx, None, *by_weights[:len(weights)]
