"""A root function, and what gin can give it."""

import dataclasses

calls = []


@dataclasses.dataclass
class Part:
  size: int

  def __post_init__(self):
    if self.size < 0:
      raise ValueError(f'`size` must not be negative, received {self.size}.')


def run(model_dir, part, operative_config, action=None, rate=1.):
  """Notes its call; does what a test has put into `action`."""
  calls.append((model_dir, part, rate, operative_config()))
  return action() if action else 'ended'


def unused(size):
  """What else a gin file may bind."""
  del size
