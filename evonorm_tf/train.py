"""Trains a classifier: python -m evonorm_tf.train --gin_file=gin/classification/cifar10_resnet20.gin --model_dir=DIR

The same command on the same --model_dir goes on where it stopped. Modes: train, eval (the newest checkpoint),
train_and_eval, export (a SavedModel in DIR/export).

The hardware is not the experiment's matter: --strategy=mirrored takes all GPUs of the host, and --strategy=tpu
--tpu=ADDRESS a TPU. For several hosts type the same command on each, with a --model_dir that all of them share,
--strategy=multi_worker_mirrored and an environment variable that differs in the index alone; host 0 writes:

  export TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'

Batch sizes are those of all replicas together.
"""

from absl import app
from absl import flags

from evonorm_tf import experiment

flags.adopt_module_key_flags(experiment)
_MODE = flags.DEFINE_string('mode', 'train_and_eval', 'What to do: train, eval, train_and_eval or export.')
_STRATEGY = flags.DEFINE_string(
    'strategy', None, "Accelerators: one_device (the configuration's default; a GPU if there is one), mirrored (all "
    'GPUs of the host), multi_worker_mirrored (the hosts of TF_CONFIG) or tpu.')
_TPU = flags.DEFINE_string('tpu', None, "The TPU's address, or local.")


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  hardware = {'strategy': _STRATEGY.value, 'tpu': _TPU.value}
  experiment.run(
      'evonorm_tf.classification.run_classification', mode=_MODE.value,
      **{name: value for name, value in hardware.items() if value is not None})


if __name__ == '__main__':
  app.run(main)
