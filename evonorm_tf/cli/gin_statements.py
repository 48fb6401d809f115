"""The statements of gin files and bindings, read without being carried out, and checks of what gin accepts in silence.

Gin takes any name on the left of `=` for a macro and any word before a slash for a scope. A misspelt one changes
nothing, and the run is another experiment than its settings say. These checks come before gin imports a module.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import re

from gin import config_parser

from evonorm_tf.cli import gin_files
from evonorm_tf.errors import ArgumentError

_FLAG = '--gin_bindings'
_UNQUOTED = re.compile(r"Failed to parse token '(.*)'")
_BARE_WORD = re.compile(r'[\w./~-]+')
_MACRO_FUNCTIONS = ('macro', 'gin.macro')  # `NAME/macro.value = 1` is gin's long form of `NAME = 1`


class ConfigurationError(ArgumentError):
  """A configuration that cannot be parsed, that has a setting which nothing reads, or that lacks an argument."""


@dataclasses.dataclass
class Statements(config_parser.ParserDelegate):
  """The statements of a configuration, in the order in which gin reads them.

  Attributes:
    bindings: the bindings, macros included (without an argument's name), each with the file and line it is from.
    macros: the names of the macros that some statement reads, as `%NAME`.
    scopes: the names of the scopes that some reference enters, as `@scope/name`.
    in_effect: the macros that a setting reads, for each setting that no later one replaces, by its name.
    imports: the import statements of the files, by the name that each binds.
    references: the functions and classes that some statement refers to, as `@module.name`, without their scopes.
  """
  bindings: list[config_parser.BindingStatement] = dataclasses.field(default_factory=list)
  macros: set[str] = dataclasses.field(default_factory=set)
  scopes: set[str] = dataclasses.field(default_factory=set)
  in_effect: dict[str, set[str]] = dataclasses.field(default_factory=dict)
  imports: dict[str, str] = dataclasses.field(default_factory=dict)
  references: set[str] = dataclasses.field(default_factory=set)
  _macros_of_next: set[str] = dataclasses.field(default_factory=set)

  def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> None:
    """Notes a reference and its scopes; gin's parser calls this."""
    *scopes, name = scoped_configurable_name.split('/')
    self.scopes.update(scopes)
    self.references.add(name)

  def macro(self, macro_name: str) -> None:
    """Notes that a macro is read; gin's parser calls this."""
    self.macros.add(macro_name)
    self._macros_of_next.add(macro_name)

  def add(self, binding: config_parser.BindingStatement) -> None:
    """Adds a binding that the parser has just read."""
    self.bindings.append(binding)
    self.in_effect[_setting(binding)], self._macros_of_next = self._macros_of_next, set()

  def functions(self) -> dict[str, str]:
    """Returns the names of the functions and classes that have a setting, each with the last place of one."""
    return {b.selector.rpartition('.')[2]: _place(b) for b in self.bindings if b.arg_name}


def read(files: Sequence[str], bindings: Sequence[str]) -> Statements:
  """Reads the statements of gin files, of what they include, and of bindings.

  Args:
    files: the names of the files, as for `gin_files.resolve`.
    bindings: the bindings, such as "NORM_ACT = 'bn_relu'".

  Raises:
    ConfigurationError: if the text is not gin's language; where a string lacks its quotes, the message says so.
    GinFileError: if there is no such file.
  """
  statements = Statements()
  for path in gin_files.all_files(files):
    with gin_files.open_gin_file(str(path)) as file:
      _read(file, str(path), statements)
  _read('\n'.join(bindings), _FLAG, statements)
  return statements


def check(statements: Statements, arguments: Mapping[str, Iterable[str]]) -> None:
  """Checks that every macro is read and every scope entered by some statement.

  A file's macro that is read by a setting which another one replaces counts as read; one of the command line does not.

  Args:
    statements: the configuration.
    arguments: the names of the arguments of functions that the configuration may leave out, by the function's name;
      the message suggests them.

  Raises:
    ConfigurationError: for the first one that is not; the message suggests what was probably meant.
  """
  for binding in statements.bindings:
    macro = _macro_name(binding)
    if macro is None:
      unknown = [scope for scope in binding.scope.split('/') if scope and scope not in statements.scopes]
      if unknown:
        raise ConfigurationError(
            f'{_place(binding)}: `{_key(binding)}` sets nothing: no reference has the scope `{unknown[0]}`.'
            f'{_did_you_mean(unknown[0], {scope: [scope] for scope in statements.scopes})}')
    elif macro not in statements.macros:
      meant = _did_you_mean(macro, _readable(statements, arguments))
      raise ConfigurationError(
          f'{_place(binding)}: `{macro}` sets nothing: it is read nowhere, as %{macro} would.'
          f'{meant or " A setting of a function is written FUNCTION.ARGUMENT = VALUE."}')
    elif binding.location.filename is None and not any(macro in read for read in statements.in_effect.values()):
      raise ConfigurationError(
          f'{_place(binding)}: `{macro}` sets nothing: what reads it, as %{macro}, is replaced by another setting.')


def _read(text_or_file, where: str, statements: Statements) -> None:
  """Adds the statements of a text; `where` names it in errors."""
  try:
    for statement in config_parser.ConfigParser(text_or_file, statements):
      if isinstance(statement, config_parser.BindingStatement):
        statements.add(statement)
      elif isinstance(statement, config_parser.ImportStatement):
        statements.imports[statement.bound_name()] = statement.format()
  except SyntaxError as e:
    unquoted = _UNQUOTED.search(str(e))
    line = (e.text or '').strip()
    if not unquoted:
      raise ConfigurationError(f'{where}, line {e.lineno}: {e.msg} Received {line!r}.') from e
    name, _, value = line.partition('=')
    example = f": {name.strip()} = '{value.strip()}'" if _BARE_WORD.fullmatch(value.strip()) else ''
    shell = f' In a shell, write {_FLAG}="..." around the whole binding.' if where == _FLAG else ''
    raise ConfigurationError(f'{where}, line {e.lineno}: {unquoted[1]!r} is not a value in {line!r}. '
                             f'Strings need quotes{example}.{shell}') from e
  except Exception as e:  # of the tokenizer, or a ValueError: gin has no error class for them
    raise ConfigurationError(f'{where}: {e}') from e


def _macro_name(binding: config_parser.BindingStatement) -> str | None:
  """Returns the name of the macro that a binding sets; None if it sets an argument of a function."""
  if binding.selector in _MACRO_FUNCTIONS and binding.scope:
    return binding.scope
  return None if binding.arg_name else '/'.join(filter(None, (binding.scope, binding.selector)))


def _setting(binding: config_parser.BindingStatement) -> str:
  """Returns what a binding sets, without the modules, which may be left out: 'scope/function.argument' or a macro."""
  name = binding.selector.rpartition('.')[2]
  return _macro_name(binding) or f'{binding.scope}/{name}.{binding.arg_name}'


def _key(binding: config_parser.BindingStatement) -> str:
  return '/'.join(filter(None, (binding.scope, f'{binding.selector}.{binding.arg_name}')))


def _place(binding: config_parser.BindingStatement) -> str:
  return f'{binding.location.filename or _FLAG}, line {binding.location.line_num}'


def _readable(statements: Statements, arguments: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
  """Returns what a setting might have meant: macros that are read, and arguments with their functions, by name."""
  found = {name: [name] for name in sorted(statements.macros)}
  keys = [(b.arg_name, _key(b)) for b in statements.bindings if _macro_name(b) is None]
  keys += [(name, f'{function}.{name}') for function, names in arguments.items() for name in names]
  written = {key.rpartition('/')[2] for _, key in keys if '.' in key.rpartition('.')[0]}  # with the module's name
  for name, key in keys:
    if key not in found.setdefault(name, []) and not any(w.endswith(f'.{key}') for w in written):
      found[name].append(key)
  return found


def _did_you_mean(name: str, meanings: Mapping[str, Sequence[str]]) -> str:
  """Returns a sentence with the meanings of the most similar name, upper and lower case alike; empty if there is none.

  Args:
    name: the name that means nothing.
    meanings: what might have been meant, by name.
  """
  by_bare_name: dict[str, list[str]] = {}
  for known, meant in meanings.items():
    by_bare_name.setdefault(_bare(known), []).extend(meant)
  close = difflib.get_close_matches(_bare(name), by_bare_name, n=1)
  return f' Did you mean {" or ".join(f"`{meant}`" for meant in by_bare_name[close[0]][:3])}?' if close else ''


def _bare(name: str) -> str:
  return name.lower().replace('_', '')
