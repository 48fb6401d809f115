"""Functions that gin files name, without gin's wrapper."""

import functools
import textwrap

import gin
import pytest

from search.evaluation.architecture import Architecture
from search.execution import packing
from search.execution.plain_functions import plain_function
from search.journal.identity import identity_of


@pytest.fixture
def configured():
  """Parses a gin configuration; returns the architecture that it makes."""
  def parse(line):
    gin.parse_config(f"""from __gin__ import dynamic_registration
import textwrap
from search.evaluation import architecture
own/architecture.Architecture.build = @textwrap.shorten
{line}
MADE = @own/architecture.Architecture()
""")
    return gin.query_parameter('%MADE').scoped_configurable_fn()

  gin.clear_config()
  yield parse
  gin.clear_config()


def test_a_function_that_a_gin_file_names_can_be_sent(configured):
  architecture = configured('own/architecture.Architecture.options = {"width": 3}')
  assert architecture.build is textwrap.shorten and architecture.family == 'shorten'
  assert packing.unpack(packing.run_packed(packing.pack(list, ((architecture,),)))) == [architecture]


def test_what_the_file_binds_goes_with_it(configured):
  architecture = configured('textwrap.shorten.width = 7')
  assert isinstance(architecture.build, functools.partial) and architecture.build.keywords == {'width': 7}
  assert architecture.build('one two three') == '[...]' and architecture.family == 'shorten'
  assert packing.unpack(packing.run_packed(packing.pack(list, ((architecture,),))))[0].build('a b') == 'a b'
  assert identity_of(a=architecture)['a']['build']['keywords'] == {'width': 7}


def test_other_values_stay():
  cached = functools.cache(textwrap.dedent)
  assert plain_function(cached) is cached and plain_function(None) is None and plain_function('mnist') == 'mnist'
  assert isinstance(Architecture('resnet'), Architecture) and Architecture('resnet').build is None
