"""Runs searches beside each other: python -m search.run_study --gin_file=gin/search/study.gin --model_dir=DIR

The command runs a search for each setting and seed of the configuration, over one pool of workers, and writes a
comparison to DIR/comparison. Run it again with the same arguments to resume a study that was interrupted.

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  study.run_study.seeds = (0, 1, 2)
  study.run_study.workers = 2
  evolution.run_search.candidates = 100000  # of each search; the minutes end it before
  evolution.run_search.max_minutes = 6  # of each search, as if it had all workers to itself
"""

from collections.abc import Sequence

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli.console import run_command

flags.adopt_module_key_flags(gin_binary)


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  files, bindings = gin_binary.configuration_given()
  gin_binary.run('search.study.run_study', cleans_up=True, files=files, bindings=bindings)


def run() -> None:
  """The console command `evonorm-study`."""
  run_command(main)


if __name__ == '__main__':
  run()
