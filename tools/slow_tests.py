"""Runs the slow tests, two files at a time, but for those that have passed with the current state of the clone.

  python tools/slow_tests.py [tests/end_to_end_test.py ...]

Passed files are recorded in build/slow_tests/ as they pass. So the next call resumes an interrupted run, and tries
failed files again. After a change of any file that Git does not ignore, all tests are run again.
"""

import concurrent.futures
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
AT_ONCE = 2  # most tests are Python that traces graphs, on one core


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


def run_file(file: str) -> tuple[float | None, str]:
  """Runs the slow tests of a test file.

  Args:
    file: the path of the test file.

  Returns:
    The time that they took, in whole seconds, or None if a test failed; and what pytest printed.
  """
  print(f'{file} begins', flush=True)
  start = time.monotonic()
  ended = subprocess.run([*PYTEST, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
  return None if ended.returncode else round(time.monotonic() - start), ended.stdout


def run_files(files: list[str], passed: dict[str, float], record: pathlib.Path) -> None:
  """Runs the slow tests of test files, and adds those that pass to `passed`, which it writes to `record` each time."""
  pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
  try:
    running = {pool.submit(run_file, file): file for file in files}
    for number, future in enumerate(concurrent.futures.as_completed(running), 1):
      seconds, printed = future.result()
      print(f'\n[{number}/{len(files)}] {running[future]}\n{printed}', flush=True)
      if seconds is not None:
        passed[running[future]] = seconds
        record.write_text(json.dumps(passed, indent=2))
  finally:  # Ctrl-C ends what runs, too
    pool.shutdown(cancel_futures=True)


def main() -> None:
  FOLDER.mkdir(parents=True, exist_ok=True)
  record = FOLDER / f'{state_of_the_files()}.json'
  passed = json.loads(record.read_text()) if record.exists() else {}
  counts = slow_test_counts()
  files = sys.argv[1:] or list(counts)
  before = set(passed)
  run_files([file for file in files if file not in passed], passed, record)
  print()
  for file in files:
    verdict = f'passed in {passed[file]} s{", before" * (file in before)}' if file in passed else 'FAILED'
    print(f'{file} ({counts.get(file, 0)} tests): {verdict}')
  missing = [file for file in files if file not in passed]
  print(f'{len(files) - len(missing)} of {len(files)} files passed.')
  sys.exit(bool(missing))


if __name__ == '__main__':
  main()
