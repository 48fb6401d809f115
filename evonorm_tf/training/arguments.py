"""Checks of the arguments that trainers share. Errors name the argument, what is expected and what was received."""

import numbers

from evonorm_tf.devices.strategy import STRATEGIES
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import scaling
from evonorm_tf.training.config import PRECISIONS


def check_training(mode: str, modes: tuple[str, ...], precision: str, strategy: str, seed: int, sizes: dict,
                   epochs: dict) -> None:
  """Raises ValueError unless a trainer can take what every trainer takes.

  Args:
    mode: what to do.
    modes: those that there are.
    precision: one of `PRECISIONS`.
    strategy: one of `STRATEGIES`.
    seed: an integer from 0 on.
    sizes: integers from 1 on, by name.
    epochs: positive numbers, by name.
  """
  check_choices(mode=(mode, modes), precision=(precision, PRECISIONS), strategy=(strategy, STRATEGIES))
  check_integers(1, **sizes)
  check_integers(0, seed=seed)
  scaling.check_positive(**epochs)


def check_choices(**arguments) -> None:
  """Raises ValueError unless every value, in a pair with the known ones, is one of them."""
  for name, (value, known) in arguments.items():
    if value not in known:
      raise ValueError(f'`{name}` must be one of {known}, received {value!r}.')


def check_integers(least: int, **arguments) -> None:
  """Raises ValueError unless every argument is an integer from `least` on that NumPy takes for a seed."""
  for name, value in arguments.items():
    if not isinstance(value, numbers.Integral) or not least <= value < 2**32:
      raise ValueError(f'`{name}` must be an integer of at least {least} and below 2³², received {value!r}.')


def check_norm_act(norm_act, norm_act_options: dict) -> None:
  """Raises ValueError for a layer or an option that is not."""
  try:
    get_norm_act(norm_act, **norm_act_options)
  except TypeError as e:
    raise ValueError(f'`norm_act_options` must be arguments of {norm_act!r}, received {norm_act_options}: {e}') from e


def check_jit_compile(jit_compile: bool, norm_act_options: dict, strategy: str) -> None:
  """Raises ValueError where XLA would compile what replicas do together."""
  if jit_compile and strategy != 'one_device':
    raise ValueError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                     'inside XLA.')
  if jit_compile and norm_act_options.get('synchronized'):
    raise ValueError("`jit_compile=True` needs statistics that are not synchronized, received `norm_act_options` "
                     f'{norm_act_options}.')
