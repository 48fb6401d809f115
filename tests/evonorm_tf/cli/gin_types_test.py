"""Values of a configuration against the type hints of who receives them."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
from typing import Any
from typing import Literal
from typing import Protocol

import gin
import pytest

from evonorm_tf.cli import gin_types
from evonorm_tf.errors import ArgumentError

pytestmark = pytest.mark.usefixtures('no_configuration')
HEAD = 'from __gin__ import dynamic_registration\nfrom tests.evonorm_tf.cli import gin_types_test\n'


class Named(Protocol):
  name: str


@dataclasses.dataclass
class Part:
  size: int = 1


class Other:
  """Has no arguments."""


def part():
  """Returns something."""


def root(integer: int = 0, number: float = 0., flag: bool = False, text: str = '', path: str | os.PathLike = '',
         maybe: int | None = None, names: Sequence[str] = (), pair: tuple[int, str] = (0, ''),
         sizes: tuple[int, ...] = (), options: Mapping[str, Any] | None = None, counts: dict[str, int] | None = None,
         function: Callable[..., int] = len, thing: Part | None = None, named: Named | None = None,
         mode: Literal['a', 'b'] = 'a', anything: Any = None, unknown=None, kind: type[Part] = Part):
  """Has an argument of each kind."""


def complaint(*bindings):
  gin.parse_config(HEAD + '\n'.join(f'gin_types_test.root.{b}' for b in bindings))
  try:
    gin_types.check()
  except ArgumentError as e:
    return str(e)


@pytest.mark.parametrize('binding', [
    'integer = 3', 'number = 3', 'number = 1e-3', 'flag = True', 'flag = 1', "text = 'a'", "path = 'a'", 'maybe = 3',
    'maybe = None', "names = ('a', 'b')", "names = ['a']", 'names = ()', "pair = (3, 'a')", 'sizes = (1, 2, 3)',
    "options = {'a': (1, 'b')}", 'options = None', "counts = {'a': 3}", 'function = @gin_types_test.part',
    'function = @gin_types_test.Other', 'thing = @gin_types_test.Part()', 'thing = @gin_types_test.part()',
    'thing = None', 'named = @gin_types_test.Other()', "mode = 'b'", "anything = {'a': @gin_types_test.part}",
    "unknown = 'a'", 'kind = @gin_types_test.Part', 'integer = @gin_types_test.part()', "integer = %A\nA = 3",
    'integer = %A\nA = %A'])
def test_values_that_fit(binding):
  assert complaint(binding) is None


@pytest.mark.parametrize('binding, expected, received', [
    ("integer = 'ten'", 'an integer', "'ten'"), ('integer = 1.5', 'an integer', '1.5'),
    ('integer = True', 'an integer', 'True'), ('integer = None', 'an integer', 'None'),
    ("number = '1e-3'", 'a number', "'1e-3'"), ("flag = 'False'", 'True or False', "'False'"),
    ('text = 3', 'a string', '3'), ("maybe = 'a'", 'an integer or None', "'a'"),
    ("names = ('a', 3)", 'a list, each element a string', "('a', 3)"),
    ("pair = (3, 'a', 4)", 'a list, each element an integer and a string', "(3, 'a', 4)"),
    ("options = 'a'", 'a dictionary or None', "'a'"), ("counts = {'a': 'b'}", 'a dictionary or None', "{'a': 'b'}"),
    ("function = 'relu'", 'a function', "'relu'"), ("thing = 'Part'", 'an object of Part or None', "'Part'"),
    ('thing = @gin_types_test.Other()', 'an object of Part or None', '@gin_types_test.Other()'),
    ('named = 3', 'an object of Named or None', '3'), ("mode = 'c'", "one of ('a', 'b')", "'c'"),
    ('integer = @gin_types_test.Part()', 'an integer', '@gin_types_test.Part()'),
    ('integer = @gin_types_test.part', 'an integer', '@gin_types_test.part')])
def test_values_that_do_not_fit(binding, expected, received):
  name = binding.partition(' ')[0]
  said = complaint(binding)
  assert said == f'`root.{name}` must be {expected}, received {received}.'


def test_remedies():
  assert complaint("names = 'a'").endswith("received 'a'. A list of one is ('a',).")
  assert complaint('names = ()', 'thing = @gin_types_test.Part').endswith(
      'received @gin_types_test.Part. @gin_types_test.Part() makes one.')


def test_macros_and_scopes_of_classes():
  gin.parse_config(f'{HEAD}A = %B\nB = "a"\ngin_types_test.root.thing = @best/gin_types_test.Part()\n'
                   'best/gin_types_test.Part.size = %A\n')
  with pytest.raises(ArgumentError, match="^`best/Part.size` must be an integer, received 'a'.$"):
    gin_types.check()
