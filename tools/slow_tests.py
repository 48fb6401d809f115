"""Runs the slow tests file by file, skipping the files that have already passed with the current state of the clone.

  python tools/slow_tests.py [tests/end_to_end_test.py ...]

Passed files are recorded in build/slow_tests/ as they pass. So the next call resumes an interrupted run, and tries
failed files again. After a change of any file that Git does not ignore, all tests are run again.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path('build', 'slow_tests')
PYTEST = [sys.executable, '-m', 'pytest', '-q', '-m', 'slow']


def state_of_the_files() -> str:
  """Returns Git's hash of all files that it does not ignore, committed or not; the clone's own index is not changed."""
  with tempfile.TemporaryDirectory() as folder:
    environment = os.environ | {'GIT_INDEX_FILE': str(pathlib.Path(folder) / 'index')}
    subprocess.run(['git', 'add', '--all'], env=environment, check=True)
    tree = subprocess.run(['git', 'write-tree'], env=environment, check=True, capture_output=True, text=True)
    return tree.stdout.strip()


def slow_test_counts() -> dict[str, int]:
  """Returns the number of slow tests of each test file that has any, by path; exits if pytest cannot collect them."""
  listed = subprocess.run([*PYTEST, '-q', '--collect-only'], capture_output=True, text=True, check=False)
  if listed.returncode:
    sys.exit(listed.stdout + listed.stderr)
  return {file: int(count) for file, count in re.findall(r'^(\S+\.py): (\d+)$', listed.stdout, re.MULTILINE)}


def run_file(file: str) -> float | None:
  """Runs the slow tests of a test file.

  Args:
    file: the path of the test file.

  Returns:
    The time that they took, in whole seconds, or None if a test failed.
  """
  start = time.monotonic()
  code = subprocess.run([*PYTEST, file], check=False).returncode
  return None if code else round(time.monotonic() - start)


def main() -> None:
  FOLDER.mkdir(parents=True, exist_ok=True)
  record = FOLDER / f'{state_of_the_files()}.json'
  passed = json.loads(record.read_text()) if record.exists() else {}
  counts = slow_test_counts()
  files = sys.argv[1:] or list(counts)
  lines = []
  for number, file in enumerate(files, 1):
    print(f'\n[{number}/{len(files)}] {file}', flush=True)
    before = file in passed
    seconds = passed[file] if before else run_file(file)
    if seconds is not None:
      passed[file] = seconds
      record.write_text(json.dumps(passed, indent=2))
    verdict = 'FAILED' if seconds is None else f'passed in {seconds} s{", before" * before}'
    lines.append(f'{file} ({counts.get(file, 0)} tests): {verdict}')
  print('\n' + '\n'.join(lines))
  missing = [file for file in files if file not in passed]
  print(f'{len(files) - len(missing)} of {len(files)} files passed.')
  sys.exit(bool(missing))


if __name__ == '__main__':
  main()
