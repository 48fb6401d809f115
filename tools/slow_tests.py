"""Runs the slow tests in pieces, file by file, and goes on where an earlier call stopped: `make test-slow`.

  python tools/slow_tests.py [--again] [FILE ...]

A file that has passed at the present commit is not run again. What passed, failed and how long it took is in
build/slow_tests.json; it counts for one commit and for a working tree without changes. `--again` forgets it.
"""

import argparse
from collections.abc import Sequence
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / 'build' / 'slow_tests.json'
NOTHING_SELECTED = 5  # pytest's exit code
Results = dict[str, dict[str, str | float]]


def state_of_clone() -> str:
  """Returns the present commit and a digest of what has been changed since; '' outside a clone."""
  def git(*arguments: str) -> str:
    return subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout
  changes = git('diff', 'HEAD') + git('ls-files', '--others', '--exclude-standard')
  return git('rev-parse', 'HEAD').strip() + (f' with {len(changes)} characters of changes' if changes else '')


def files_with_slow_tests(names: Sequence[str]) -> list[str]:
  """Returns the test files that name the mark, all or those given."""
  files = [ROOT / name for name in names] or sorted((ROOT / 'tests').rglob('*_test.py'))
  return [str(file.relative_to(ROOT)) for file in files if re.search(r'\bmark\.slow\b', file.read_text())]


def read_results(state: str) -> Results:
  """Returns the results of earlier calls at the same state of the clone."""
  try:
    saved = json.loads(RESULTS.read_text())
  except (OSError, ValueError):
    return {}
  return saved['files'] if saved.get('state') == state else {}


def run_file(file: str) -> dict[str, str | float]:
  """Runs the slow tests of a file; returns 'passed', 'failed' or 'nothing', and the seconds that they took."""
  start = time.monotonic()
  # Compiled as users do, and not with XLA's cheap passes alone, as the quick tests are.
  environment = {**os.environ, 'XLA_FLAGS': os.environ.get('XLA_FLAGS', '')}
  code = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-m', 'slow', file], cwd=ROOT, env=environment,
                        check=False).returncode
  outcome = {0: 'passed', NOTHING_SELECTED: 'nothing'}.get(code, 'failed')
  return {'outcome': outcome, 'seconds': round(time.monotonic() - start, 1)}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('files', nargs='*', metavar='FILE', help='test files; default: all that have slow tests')
  parser.add_argument('--again', action='store_true', help='run files that have passed already, too')
  arguments = parser.parse_args()
  state = state_of_clone()
  results = {} if arguments.again else read_results(state)
  files = files_with_slow_tests(arguments.files)
  for number, file in enumerate(files, 1):
    if results.get(file, {}).get('outcome') in ('passed', 'nothing'):
      continue
    print(f'--- {number} of {len(files)}: {file}', flush=True)
    results[file] = run_file(file)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({'state': state, 'files': results}, indent=1))
  seconds = sum(float(results[file]['seconds']) for file in files)
  failed = [file for file in files if results[file]['outcome'] == 'failed']
  print(f'{len(files) - len(failed)} of {len(files)} files passed their slow tests, in {seconds / 60:.0f} minutes.',
        *(f'Failed: {file}' for file in failed), sep='\n')
  sys.exit(bool(failed))


if __name__ == '__main__':
  main()
