"""Writes a Markdown table of the parts of the package that work with each version of Python and TensorFlow.

  python tools/compatibility.py [--python 3.12 ...] [--tensorflow 2.20 ...] [--output=docs/compatibility.md]

For each pair of versions, the program makes a virtual environment in a temporary folder, installs the wheel of this
clone with the extras that are available there, and runs tests and commands on that installation. It needs pythonX.Y on
the PATH (with pyenv: PYENV_VERSION=3.11.7:3.12.1:3.13.0), a package index, 4 GB of disk, and about 8 minutes per pair
on two free cores. With the TensorFlow that constraints.txt pins, the other packages are those of constraints.txt; with
another TensorFlow, they are the newest releases.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import datetime
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
CONSTRAINTS = ROOT / 'constraints.txt'
EXTRAS = ('search', 'test', 'train', 'gan', 'ray', 'addons')
SHOWN = ('tensorflow', 'tf_keras', 'keras', 'numpy')
PAGE = """# What runs where

evonorm-tf {version}, installed from its wheel on Linux (x86-64, CPU), on {date}. `python tools/compatibility.py
--output=docs/compatibility.md` makes the environments and this page; the numbers are those of the tests that were run
on each installation.

{table}

With TensorFlow 2.20 the other packages are those of `constraints.txt`; with another TensorFlow they are the newest that
go with it. "Cannot be installed" means that an extra of the package finds no releases that fit: tensorflow-addons has
no wheel for Python 3.12 and later, and the Model Garden, on which the trainers stand, needs the TensorFlow of its own
release. Of the trainers only that of classifiers is tried; those of detectors and GANs need the same Model Garden.
"""
SMOKE = ('evonorm-search', '--gin_file=search/smoke.gin', '--model_dir=search_run',
         '--gin_bindings=run_search.references = ()', '--gin_bindings=run_search.candidates = 2',
         '--gin_bindings=proxy_task.ProxyTask.architectures = (@resnet/architecture.Architecture(),)')
TRAINING = ('evonorm-train', '--gin_file=classification/cifar10_resnet20.gin', '--model_dir=training_run',
            '--gin_bindings=run_classification.epochs = 1',
            '--gin_bindings=optimization.Optimization.warmup_epochs = 0')


@dataclasses.dataclass(frozen=True)
class Check:
  """One column of the table: test files or a console command to run, and what they need.

  Attributes:
    name: the heading of the column.
    tests: the test files, paths relative to tests/evonorm_tf; empty, the default, if there is a command.
    command: the console command with its arguments; empty, the default, if there are test files.
    extras: the extras of the package that must be installed, by default 'search' and 'test'.
  """
  name: str
  tests: tuple[str, ...] = ()
  command: tuple[str, ...] = ()
  extras: tuple[str, ...] = ('search', 'test')


CHECKS = (
    Check('layers in tf_keras', ('layers/keras2_test.py', 'layers/norm_act_test.py')),
    Check('layers in Keras 3', ('keras3_test.py', 'keras3_weights_test.py')),
    Check('models', ('models_test.py',)),
    Check('conversion', ('conversion/convert_test.py',)),
    Check('a search', command=SMOKE),
    Check('training a classifier', command=TRAINING, extras=('train',)),
    Check('tensorflow-addons', ('layers/addons_test.py',), extras=('search', 'test', 'addons')),
)


class Environment:
  """A new virtual environment, and a folder with copies of tests/ and gin/ in which the checks run.

  Args:
    folder: the folder in which both are made.
    interpreter: the command of the Python interpreter, such as 'python3.12'.
  """

  def __init__(self, folder: pathlib.Path, interpreter: str):
    self._bin = folder / 'environment' / 'bin'
    self._work = folder / 'work'
    self._work.mkdir()
    run([interpreter, '-m', 'venv', folder / 'environment'], folder)
    shutil.copytree(ROOT / 'tests', self._work / 'tests', ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copytree(ROOT / 'gin', self._work / 'gin')
    shutil.copy(ROOT / 'pyproject.toml', self._work)

  def install(self, *requirements: str, constraints: pathlib.Path | None) -> bool:
    """Installs packages with pip.

    Args:
      *requirements: what to install, as arguments of `pip install`.
      constraints: the path of a pip constraints file, or None for no constraints.

    Returns:
      Whether the installation succeeded.
    """
    command = [self._bin / 'python', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', *requirements]
    return run(command + (['--constraint', constraints] if constraints else []), self._work).returncode == 0

  def versions(self) -> dict[str, str]:
    """Returns the version of each installed distribution, by its name in lower case with underscores."""
    frozen = run([self._bin / 'python', '-m', 'pip', 'list', '--format=freeze'], self._work).stdout
    pairs = (line.split('==') for line in frozen.splitlines() if '==' in line)
    return {name.lower().replace('-', '_'): version for name, version in pairs}

  def result(self, check: Check) -> str:
    """Runs a check and returns the text of its cell in the table, such as 'yes (12 tests)'."""
    if check.command:
      return 'yes' if run([self._bin / check.command[0], *check.command[1:]], self._work).returncode == 0 else '**no**'
    files = [f'tests/evonorm_tf/{name}' for name in check.tests]
    said = run([self._bin / 'python', '-m', 'pytest', '-q', *files], self._work)
    counts = {word: int(number) for number, word in re.findall(r'(\d+) (passed|failed|error)', said.stdout)}
    bad = counts.get('failed', 0) + counts.get('error', 0)
    if said.returncode == 0 and counts.get('passed'):
      return f'yes ({counts["passed"]} tests)'
    return f'**{bad} of {bad + counts.get("passed", 0)} tests fail**' if bad else '**no**'


def run(command: Sequence[str | pathlib.Path], folder: str | pathlib.Path) -> subprocess.CompletedProcess:
  """Runs a command and prints it to standard error, with the end of its output if it fails.

  Args:
    command: the command and its arguments.
    folder: the working directory.

  Returns:
    The completed process, with its exit code and its output as text.
  """
  print(f'{datetime.datetime.now():%H:%M:%S}', *command, file=sys.stderr, flush=True)
  ended = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
  if ended.returncode:
    print(ended.stdout[-6000:], ended.stderr[-3000:], sep='\n', file=sys.stderr, flush=True)
  return ended


def wheel_of_this_clone(folder: pathlib.Path) -> pathlib.Path:
  """Builds the package's wheel from a copy of this clone without the files that Git ignores.

  The copy keeps the leftovers of earlier builds out of the wheel.

  Args:
    folder: the folder that receives the copy and the wheel.

  Returns:
    The path of the wheel.

  Raises:
    subprocess.CalledProcessError: if Git or pip fails.
  """
  names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', ':!tests'], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.splitlines()
  for name in names:
    (folder / 'source' / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, folder / 'source' / name)
  command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--wheel-dir', folder, folder / 'source']
  subprocess.run(command, check=True)
  wheel, = folder.glob('*.whl')
  return wheel


def row(python: str, tensorflow: str, wheel: pathlib.Path) -> list[str]:
  """Runs all checks for one pair of versions.

  Args:
    python: the version of Python, such as '3.12'.
    tensorflow: the version of TensorFlow, such as '2.20'.
    wheel: the path of the package's wheel.

  Returns:
    The cells of the row: the version of Python, those of the distributions in `SHOWN`, and the result of each check. If
    there is no such Python or TensorFlow cannot be installed, only the version of Python and the reason.
  """
  with tempfile.TemporaryDirectory(prefix='compatibility') as folder:
    if run([f'python{python}', '--version'], folder).returncode:
      return [python, f'no python{python} on the PATH']
    environment = Environment(pathlib.Path(folder), f'python{python}')
    constraints = CONSTRAINTS if f'\ntensorflow=={tensorflow}.' in CONSTRAINTS.read_text() else None
    pins = [f'tensorflow=={tensorflow}.*', f'tf_keras=={tensorflow}.*']
    if not environment.install(str(wheel), *pins, constraints=constraints):
      return [python, f'TensorFlow {tensorflow} cannot be installed']
    extras = {extra for extra in EXTRAS if environment.install(f'{wheel}[{extra}]', *pins, constraints=constraints)}
    versions = environment.versions()
    if 'tensorflow_addons' not in versions:  # its extra is empty for versions of Python for which it has no wheel
      extras.discard('addons')
    results = [environment.result(check) if extras.issuperset(check.extras) else 'cannot be installed'
               for check in CHECKS]
    return [python, *(versions[name] for name in SHOWN), *results]


def table(rows: Iterable[list[str]]) -> str:
  """Returns a Markdown table; short rows are filled up with empty cells.

  Args:
    rows: the cells of each row, as `row` returns them.
  """
  head = ['Python', 'TensorFlow', 'tf_keras', 'Keras', 'NumPy', *(check.name for check in CHECKS)]
  padded = [line + [''] * (len(head) - len(line)) for line in rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in [head, ['---'] * len(head), *padded])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--python', nargs='+', default=['3.11', '3.12', '3.13'])
  parser.add_argument('--tensorflow', nargs='+', default=['2.20', '2.21'])
  parser.add_argument('--output', type=pathlib.Path, help='A Markdown file to write beside printing the table.')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix='wheel') as folder:
    wheel = wheel_of_this_clone(pathlib.Path(folder))
    rows = [row(python, tensorflow, wheel) for tensorflow in arguments.tensorflow for python in arguments.python]
    text = table(rows)
    print(text)
    if arguments.output:
      version = wheel.name.split('-')[1]
      arguments.output.write_text(PAGE.format(date=datetime.date.today(), version=version, table=text))


if __name__ == '__main__':
  main()
