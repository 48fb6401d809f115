"""Runs a search: python -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=DIR

The command writes the search's journal, TensorBoard events and report to --model_dir. Run it again with the same
arguments to resume a search that was interrupted. For instance, an hour on four cores from known layers:

  python -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=runs/known \\
    --gin_bindings="evolution.run_search.candidates = 100000" --gin_bindings="evolution.run_search.max_minutes = 60" \\
    --gin_bindings="evolution.run_search.workers = 4" --gin_bindings="evolution.run_search.initial = 'known'"

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  evolution.run_search.candidates = 400  # those of earlier runs included
  evolution.run_search.max_minutes = 6  # of evolution, before the re-ranking; None for no limit
  evolution.run_search.workers = 2  # processes on this machine; --gin_file=gin/search/ray.gin for Ray
  evolution.run_search.seed = 0
  evolution.run_search.initial = 'random'  # or 'known', or the folder of an earlier search
  proxy_task.ProxyTask.data_dir = None  # a folder of TensorFlow Datasets with cifar10; None for the bundled images
  proxy_task.ProxyTask.steps = 200  # of a candidate's training
"""

from collections.abc import Sequence

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import gin_configuration
from evonorm_tf.cli.console import run_command

flags.adopt_module_key_flags(gin_binary)


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  # All settings, not only those that are used until the search begins: `Search.resume` goes on with them.
  gin_binary.run('search.evolution.run_search', cleans_up=True, operative_config=gin_configuration.config_text)


def run() -> None:
  """The console command `evonorm-search`."""
  run_command(main)


if __name__ == '__main__':
  run()
