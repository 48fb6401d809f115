"""Compares searches: python -m search.analyze --model_dir=A --model_dir=B ...

Writes a report in Markdown, its plots and TensorBoard events to --output, by default 'analysis' in the first search's
folder. The searches may be running.
"""

from collections.abc import Sequence
import os

from absl import app
from absl import flags

from evonorm_tf.cli.console import run_command
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors

_MODEL_DIRS = flags.DEFINE_multi_string('model_dir', None, "A search's folder; once for each search.", required=True)
_OUTPUT = flags.DEFINE_string('output', None, "Folder for the results. Default: 'analysis' in the first --model_dir.")


def main(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  from search.reporting.comparison_report import compare_searches
  with errors_as_messages(), wrap_system_errors():
    report = compare_searches(_MODEL_DIRS.value, _OUTPUT.value)
  print(f'Report: {report}')


def run() -> None:
  """The console command `evonorm-analyze`."""
  run_command(main)


if __name__ == '__main__':
  app.run(main)
