"""Lookup of the gin files that a command reads: the user's own, or the experiments that come with the package.

A name such as `gin/search/quickstart.gin` or `search/quickstart.gin` means a file relative to the current folder if
there is one, and otherwise the experiment of that name in the package. So an installed package works without a clone of
the repository. In an `include` statement it may also mean a file relative to the folder of the file that includes it.
"""

from collections.abc import Sequence
import difflib
import io
import pathlib
import re
import sys
from typing import TextIO

from evonorm_tf.errors import ArgumentError

_PACKAGE = pathlib.Path(__file__).parents[1]
_INSTALLED = _PACKAGE / 'experiments'  # not site-packages/gin, which belongs to gin-config
EXPERIMENTS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / 'gin'  # a clone has the folder gin/ instead
_INCLUDE = re.compile(r'''^(?P<before>\s*include\s*)(?P<quote>['"])(?P<name>.+?)(?P=quote)''', re.MULTILINE)


class GinFileError(ArgumentError):
  """An error for a gin file that exists neither on disk nor in the package, or that includes itself."""


class _GinText(io.StringIO):
  """The text of a gin file, with the file's name, which gin puts into its error messages.

  Args:
    text: the text.
    name: the file's name.
  """

  def __init__(self, text: str, name: str):
    super().__init__(text)
    self.name = name


def resolve(name: str, including: pathlib.Path | None = None) -> pathlib.Path:
  """Returns the path of the gin file with a given name.

  Args:
    name: an absolute path; or a path relative to the current folder, or to the folder of `including`; or the name of an
      experiment in the package, such as 'gin/search/smoke.gin' or 'search/smoke.gin'. They are tried in this order.
    including: the path of the file that includes this one; None, the default, if it is not included.

  Raises:
    GinFileError: if there is no such file; the message names the places that were searched.
  """
  beside = [including.parent / name] if including else []
  places = list(dict.fromkeys([pathlib.Path(name), *beside, *_places_in_package(name)]))
  for place in places:
    if place.is_file():
      return place
  searched = ' and no '.join(str(place.absolute()) for place in places)
  raise GinFileError(f'Unable to open file: {name}. There is no {searched}.{_suggestion(name)}')


def resolve_all(names: Sequence[str]) -> list[str]:
  """Returns the paths of gin files, after checking that all files that they include exist.

  Args:
    names: the names of the gin files, as for `resolve`.

  Raises:
    GinFileError: if a file or an included file is missing, or a file includes itself.
  """
  all_files(names)
  return [str(resolve(name)) for name in names]


def announce(names: Sequence[str]) -> None:
  """Prints the path of each file of a command's that is taken from the package to standard error.

  Args:
    names: the names of the gin files, as for `resolve`.

  Raises:
    GinFileError: as `resolve_all`.
  """
  for path in dict.fromkeys(all_files(names)):
    if path.is_relative_to(EXPERIMENTS) and str(path) not in names:
      print(f'Configuration: {path}', file=sys.stderr)


def all_files(names: Sequence[str]) -> list[pathlib.Path]:
  """Returns the paths of gin files, each followed by those that it includes.

  Args:
    names: the names of the gin files, as for `resolve`.

  Raises:
    GinFileError: if a file or an included file is missing, or a file includes itself.
  """
  return [path for name in names for path in _with_included(name)]


def exists(name: str) -> bool:
  """Returns whether `open_gin_file` can open a file; gin calls this to choose among its file readers.

  Args:
    name: the name of the gin file, as for `resolve`.
  """
  try:
    return bool(resolve(name))
  except GinFileError:
    return False


def open_gin_file(name: str) -> TextIO:
  """Opens a gin file as UTF-8 text. gin calls this for every file that it reads, `include` statements among them.

  In the text, `include` statements name absolute paths, since gin does not know which file includes another.

  Args:
    name: the name of the gin file, as for `resolve`.

  Raises:
    GinFileError: if there is no such file.
  """
  path = resolve(name)

  def absolute(match: re.Match) -> str:
    return f'{match["before"]}{str(resolve(match["name"], path).absolute())!r}'
  return _GinText(_INCLUDE.sub(absolute, _text(path)), name)


def _text(path: pathlib.Path) -> str:
  """Returns a file's text; raises GinFileError if it is not text."""
  try:
    return path.read_text(encoding='utf-8')
  except UnicodeDecodeError as e:
    raise GinFileError(f'{path} is not a gin file: it is not text in UTF-8 ({e}).') from e


def _with_included(name: str, including: tuple[pathlib.Path, ...] = ()) -> list[pathlib.Path]:
  """Returns the paths of a file and of all that it includes; `including` is the chain of files before it."""
  try:
    path = resolve(name, including[-1] if including else None)
  except GinFileError as e:
    raise GinFileError(f'{e} It is included in {including[-1]}.' if including else str(e)) from e
  if path in including:
    raise GinFileError(f'{path} includes itself.')
  files = [path]
  for include in _INCLUDE.finditer(_text(path)):
    files += _with_included(include['name'], (*including, path))
  return files


def _places_in_package(name: str) -> list[pathlib.Path]:
  """Returns the path of an experiment in the package, as a list; empty if the name cannot be that of an experiment."""
  path = pathlib.PurePath(name)
  parts = path.parts[1:] if path.parts[:1] == ('gin',) else path.parts
  return [] if path.is_absolute() or '..' in parts or not parts else [EXPERIMENTS.joinpath(*parts)]


def _suggestion(name: str) -> str:
  known = [path.relative_to(EXPERIMENTS).as_posix() for path in sorted(EXPERIMENTS.glob('*/*.gin'))]
  close = difflib.get_close_matches(name.removeprefix('gin/'), known, n=1)
  return f' Did you mean {close[0]}?' if close else ''
