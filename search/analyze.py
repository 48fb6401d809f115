"""Compares searches: python -m search.analyze --model_dir=A --model_dir=B ...

Each --model_dir is the folder of one search, which may still be running. The command writes report.md, its plots and
TensorBoard events to the folder --output, which is 'analysis' in the first --model_dir by default.
"""

from collections.abc import Sequence
import os

from absl import app
from absl import flags

from evonorm_tf.cli import users_modules
from evonorm_tf.cli.console import run_command
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors

_MODEL_DIRS = flags.DEFINE_multi_string('model_dir', None, "A search's folder; once for each search.", required=True)
_OUTPUT = flags.DEFINE_string('output', None, "Folder for the results. Default: 'analysis' in the first --model_dir.")
flags.adopt_module_key_flags(users_modules)


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  with errors_as_messages(), wrap_system_errors():
    from search.reporting.comparison_report import compare_searches
    users_modules.import_users_modules()
    report = compare_searches(_MODEL_DIRS.value, _OUTPUT.value)
  print(f'Report: {report}')


def run() -> None:
  """The console command `evonorm-analyze`."""
  run_command(main)


if __name__ == '__main__':
  run()
