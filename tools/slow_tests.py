"""Runs the slow tests file by file, and only those that have not passed yet with the present files.

  python tools/slow_tests.py [tests/end_to_end_test.py ...]

What has passed is noted after each file, in build/slow_tests/. So a run that was interrupted goes on where it stopped,
and one with failures tries these again. Any change of a file that Git does not ignore begins anew.
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
  """Git's hash of the files as they are, committed or not, by an index that is made for it."""
  with tempfile.TemporaryDirectory() as folder:
    environment = os.environ | {'GIT_INDEX_FILE': str(pathlib.Path(folder) / 'index')}
    subprocess.run(['git', 'add', '--all'], env=environment, check=True)
    tree = subprocess.run(['git', 'write-tree'], env=environment, check=True, capture_output=True, text=True)
    return tree.stdout.strip()


def slow_test_counts() -> dict[str, int]:
  """The files that have slow tests, with the number of them."""
  listed = subprocess.run([*PYTEST, '-q', '--collect-only'], capture_output=True, text=True, check=False)
  if listed.returncode:
    sys.exit(listed.stdout + listed.stderr)
  return {file: int(count) for file, count in re.findall(r'^(\S+\.py): (\d+)$', listed.stdout, re.MULTILINE)}


def run_file(file: str) -> float | None:
  """Runs the slow tests of a file; returns the seconds it took, or None if one failed."""
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
