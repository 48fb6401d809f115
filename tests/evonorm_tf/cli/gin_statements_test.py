"""Settings that change nothing are refused with what was probably meant, before gin imports a module."""

import pytest

from evonorm_tf.cli import gin_statements
from evonorm_tf.cli.gin_statements import ConfigurationError

GIN = """from __gin__ import dynamic_registration

from nowhere import train
from nowhere.data import images

NORM_ACT = 'evonorm_s0'
DEPTH = 20

train.run.norm_act = %NORM_ACT
train.run.reader = @best/images.Reader
train.run.data = {'train': [@images.Reader()]}
images.Reader.depth = %DEPTH
images.Reader.size = 3
best/images.Reader.size = 4
train.run:
  epochs = 3
"""


def check(tmp_path, *bindings, text=GIN, arguments=None):
  """Reads and checks a configuration; returns what is said about it, and None if nothing is."""
  (tmp_path / 'a.gin').write_text(text)
  try:
    gin_statements.check(gin_statements.read([str(tmp_path / 'a.gin')], bindings), arguments or {})
  except ConfigurationError as e:
    return str(e)


@pytest.mark.parametrize('bindings', [
    (), ("NORM_ACT = 'bn_relu'",), ("train.run.norm_act = 'bn_relu'",), ('best/images.Reader.size = 5',),
    ('WIDTH = 3', 'images.Reader.width = %WIDTH'), ('best/images.Reader:\n  size = 5',), ('DEPTH/macro.value = 3',)])
def test_settings_that_are_read(tmp_path, bindings):
  """A macro also counts as read where another binding replaces the one that reads it."""
  assert check(tmp_path, *bindings) is None


def test_a_macro_given_beside_what_replaces_its_reader(tmp_path):
  expected = '--gin_bindings, line 2: `NORM_ACT` sets nothing: what reads it, as %NORM_ACT, is replaced by another'
  assert check(tmp_path, "run.norm_act = 'gn_relu'", "NORM_ACT = 'bn_relu'").startswith(expected)
  assert check(tmp_path, "run.norm_act = 'gn_relu'", "NORM_ACT = 'bn_relu'", 'train.run.norm_act = %NORM_ACT') is None


@pytest.mark.parametrize('binding, macro, meant', [
    ("NORMACT = 'bn_relu'", 'NORMACT', 'Did you mean `NORM_ACT` or `train.run.norm_act`?'),
    ("norm_act = 'bn_relu'", 'norm_act', 'Did you mean `NORM_ACT` or `train.run.norm_act`?'),
    ('epochs = 10', 'epochs', 'Did you mean `train.run.epochs`?'),
    ('size = 10', 'size', 'Did you mean `images.Reader.size` or `best/images.Reader.size`?'),
    ('sede = 10', 'sede', 'Did you mean `run.seed`?'),
    ('DEPHT/macro.value = 3', 'DEPHT', 'Did you mean `DEPTH` or `images.Reader.depth`?'),
    ('elsewhere = 10', 'elsewhere', 'A setting of a function is written FUNCTION.ARGUMENT = VALUE.')])
def test_a_macro_that_nothing_reads(tmp_path, binding, macro, meant):
  said = f'`{macro}` sets nothing: it is read nowhere, as %{macro} would. {meant}'
  arguments = {'run': ['norm_act', 'epochs', 'seed']}
  assert check(tmp_path, binding, arguments=arguments) == f'--gin_bindings, line 1: {said}'
  file = tmp_path / 'a.gin'
  assert check(tmp_path, text=f'{GIN}{binding}\n', arguments=arguments) == f'{file}, line 17: {said}'


def test_a_macro_in_an_included_file(tmp_path):
  (tmp_path / 'b.gin').write_text('NORM_ATC = 3\n')
  assert check(tmp_path, text=f"{GIN}include 'b.gin'\n") == (
      f'{tmp_path / "b.gin"}, line 1: `NORM_ATC` sets nothing: it is read nowhere, as %NORM_ATC would. Did you mean '
      '`NORM_ACT` or `train.run.norm_act`?')


def test_a_scope_that_nothing_enters(tmp_path):
  assert check(tmp_path, 'bset/images.Reader.size = 5') == (
      '--gin_bindings, line 1: `bset/images.Reader.size` sets nothing: no reference has the scope `bset`. Did you mean '
      '`best`?')
  assert check(tmp_path, 'other/train.run.epochs = 5').endswith('no reference has the scope `other`.')


@pytest.mark.parametrize('binding, said', [
    ('NORM_ACT = evonorm_s0', "'evonorm_s0' is not a value in 'NORM_ACT = evonorm_s0'. Strings need quotes: NORM_ACT = "
     "'evonorm_s0'."),
    ('NORM_ACT = runs/layer.json', "'runs' is not a value in 'NORM_ACT = runs/layer.json'. Strings need quotes: "
     "NORM_ACT = 'runs/layer.json'."),
    ("train.run.names = ('a', b)", "'b' is not a value in \"train.run.names = ('a', b)\". Strings need quotes.")])
def test_strings_need_quotes(tmp_path, binding, said):
  shell = ' In a shell, write --gin_bindings="..." around the whole binding.'
  assert check(tmp_path, 'DEPTH = 3', binding) == f'--gin_bindings, line 2: {said}{shell}'
  assert check(tmp_path, text=f'{GIN}{binding}\n') == f'{tmp_path / "a.gin"}, line 17: {said}'


@pytest.mark.parametrize('binding, said', [
    ('DEPTH 3', "line 1: Couldn't parse statement, expected ':' or '='. Received 'DEPTH 3'"), ('DEPTH = (', 'EOF'),
    ('DEPTH = 3 4', "line 1: Expected newline. Received 'DEPTH = 3 4'")])
def test_what_is_not_gin(tmp_path, binding, said):
  assert said in check(tmp_path, binding) and '\n' not in check(tmp_path, binding)


def test_the_functions_with_settings(tmp_path):
  (tmp_path / 'a.gin').write_text(GIN)
  found = gin_statements.read([str(tmp_path / 'a.gin')], ['run.epochs = 4'])
  assert found.functions() == {'run': '--gin_bindings, line 1', 'Reader': f'{tmp_path / "a.gin"}, line 14'}
