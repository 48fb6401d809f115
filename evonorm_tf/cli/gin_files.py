"""The gin files that a command reads: the user's own, or the experiments that come with the package.

`gin/search/quickstart.gin`, or `search/quickstart.gin`, is a file below the current folder if there is one, and else
the experiment of that name in the package. An installed package needs no clone of the repository.
"""

from collections.abc import Sequence
import difflib
import pathlib
import re
import sys
from typing import TextIO

from evonorm_tf.errors import ArgumentError

_PACKAGE = pathlib.Path(__file__).parents[1]
_INSTALLED = _PACKAGE / 'experiments'  # not site-packages/gin, which is gin-config's
EXPERIMENTS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / 'gin'  # the latter in a clone
_INCLUDE = re.compile(r'''^\s*include\s*(['"])(.+?)\1''', re.MULTILINE)


class GinFileError(ArgumentError):
  """A gin file is neither below the current folder nor in the package, or includes itself."""


def resolve(name: str) -> pathlib.Path:
  """Returns the gin file that a name stands for.

  Args:
    name: an absolute path, a path relative to the current folder, or an experiment of the package such as
      'gin/search/smoke.gin' or 'search/smoke.gin'.

  Raises:
    GinFileError: there is no such file; the message names the places that were searched.
  """
  places = [pathlib.Path(name), *_places_in_package(name)]
  for place in places:
    if place.is_file():
      return place
  searched = ' and no '.join(str(place.absolute()) for place in places)
  raise GinFileError(f'Unable to open file: {name}. There is no {searched}.{_suggestion(name)}')


def resolve_all(names: Sequence[str]) -> list[str]:
  """Returns the paths of a command's gin files, after a look for all files that they include.

  Prints each file that is taken from the package, one a line, to standard error.

  Raises:
    GinFileError: a file is missing, includes one that is missing, or includes itself.
  """
  files = [file for name in names for file in _with_included(name)]
  for name, path in dict.fromkeys(files):
    if path != pathlib.Path(name):
      print(f'Configuration: {path}', file=sys.stderr)
  return [str(resolve(name)) for name in names]


def exists(name: str) -> bool:
  """Whether `open_gin_file` can open the file; gin asks this of the readers that it knows."""
  try:
    return bool(resolve(name))
  except GinFileError:
    return False


def open_gin_file(name: str) -> TextIO:
  """Opens a gin file by any of its names; a reader for gin."""
  return open(resolve(name), encoding='utf-8')


def _with_included(name: str, including: tuple[pathlib.Path, ...] = ()) -> list[tuple[str, pathlib.Path]]:
  """The name and path of a file and of all that it includes; `including` are the files on the way to it."""
  try:
    path = resolve(name)
  except GinFileError as e:
    raise GinFileError(f'{e} It is included in {including[-1]}.' if including else str(e)) from e
  if path in including:
    raise GinFileError(f'{path} includes itself.')
  files = [(name, path)]
  for include in _INCLUDE.finditer(path.read_text(encoding='utf-8')):
    files += _with_included(include[2], (*including, path))
  return files


def _places_in_package(name: str) -> list[pathlib.Path]:
  """Where an experiment of that name lies in the package; nowhere if the name cannot be one's."""
  path = pathlib.PurePath(name)
  parts = path.parts[1:] if path.parts[:1] == ('gin',) else path.parts
  return [] if path.is_absolute() or '..' in parts or not parts else [EXPERIMENTS.joinpath(*parts)]


def _suggestion(name: str) -> str:
  known = [path.relative_to(EXPERIMENTS).as_posix() for path in sorted(EXPERIMENTS.glob('*/*.gin'))]
  close = difflib.get_close_matches(name.removeprefix('gin/'), known, n=1)
  return f' Did you mean {close[0]}?' if close else ''
