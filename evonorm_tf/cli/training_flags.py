"""The flags that the commands of all trainers share, and the call of a trainer's root function.

Only command modules may import this module, since it defines flags.
"""

from typing import Any

from absl import flags

from evonorm_tf.cli import gin_binary

_MODE = flags.DEFINE_string(
    'mode', 'train_and_eval', 'What to do: train, eval, train_and_eval or export; with a detector also predict; with a '
    'GAN sample in place of export.')
_STRATEGY = flags.DEFINE_string(
    'strategy', None, "Accelerators: one_device (the configuration's default; a GPU if there is one), mirrored (all "
    'GPUs of the host), multi_worker_mirrored (the hosts of TF_CONFIG) or tpu.')
_TPU = flags.DEFINE_string('tpu', None, "The TPU's address, or local.")


def run(root: str, **arguments: Any) -> Any:
  """Calls a trainer's root function with the configuration, the mode and the accelerators that the flags name.

  Without the flags --strategy and --tpu, the accelerators are those of the configuration. `gin_binary.run` describes
  the exit codes for errors and Ctrl-C.

  Args:
    root: the full name of the root function, such as 'gan.trainer.run_gan'.
    **arguments: further arguments of the root function; they override the bindings.

  Returns:
    The result of the root function.
  """
  hardware = {'strategy': _STRATEGY.value, 'tpu': _TPU.value}
  given = {name: value for name, value in hardware.items() if value is not None}
  return gin_binary.run(root, mode=_MODE.value, **given, **arguments)
