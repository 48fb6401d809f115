"""Runs a search: python -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=DIR

The command writes the search's journal, TensorBoard events and report to --model_dir. Run it again with the same
arguments to resume a search that was interrupted.
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
  gin_binary.run('search.evolution.run_search', cleans_up=True)


def run() -> None:
  """The console command `evonorm-search`."""
  run_command(main)


if __name__ == '__main__':
  app.run(main)
