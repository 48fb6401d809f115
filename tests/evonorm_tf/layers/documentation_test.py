"""The public layers' docstrings and signatures: complete, true, and with examples that run, in both Keras."""

import doctest
import inspect
import re

import keras
import pytest

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.layers import evonorm
from evonorm_tf.layers import keras2 as keras2_layers
from evonorm_tf.layers import keras3 as keras3_layers

NAMES = (*evonorm.EVONORMS.values(), 'GraphLayer')
LAYERS = [getattr(module, name) for module in (evonorm_tf, keras3) for name in NAMES]
SHARED = ['nonlinearity', 'epsilon', 'center', 'scale', *(
    f'{vector}_{kind}' for kind in ('initializer', 'regularizer', 'constraint') for vector in ('gamma', 'beta', 'v1'))]
OWN = {'B': ['momentum', 'synchronized', 'jit_compile'], 'S': ['groups', 'jit_compile'],
       'GraphLayer': ['graph', 'groups', 'momentum', 'synchronized', 'jit_compile']}


def own_arguments(layer):
  return OWN[layer.__name__] if layer.__name__ in OWN else OWN[layer.__name__[7]]


def is_of_keras_3(layer):
  return issubclass(layer, keras.layers.Layer)


def by_keras(layer):
  return f'{"keras3" if is_of_keras_3(layer) else "tf_keras"}.{layer.__name__}'


@pytest.mark.parametrize('layer', LAYERS, ids=by_keras)
def test_the_example_runs(layer):
  (example,) = [found for found in doctest.DocTestFinder(recurse=False).find(layer) if found.examples]
  assert len(example.examples) >= 5
  if is_of_keras_3(layer):
    assert f'from evonorm_tf.keras3 import {layer.__name__}\n' in example.docstring
    assert 'tf_keras' not in example.docstring
  else:
    assert f'from evonorm_tf import {layer.__name__}\n' in example.docstring
  report = []
  failed = doctest.DocTestRunner().run(example, out=report.append).failed
  assert not failed, ''.join(report)


@pytest.mark.parametrize('name', [*NAMES, 'FoldedEvoNormB0', 'FoldedEvoNormS0'])
def test_examples_of_keras_3_are_of_any_backend(name):
  """Without tf_keras, and with arrays that NumPy takes: none of PyTorch that has a gradient."""
  example = inspect.getdoc(getattr(keras3_layers, name)).partition('\nExample:')[2]
  assert '>>>' in example and not re.search('tf_keras|keras2|from evonorm_tf import', example)
  assert all(text.startswith('keras.ops.convert_to_numpy(') for text in example.split('np.ravel(')[1:])


@pytest.mark.parametrize('layers', [keras2_layers, keras3_layers], ids=['tf_keras', 'keras3'])
@pytest.mark.parametrize('name', ['FoldedEvoNormB0', 'FoldedEvoNormS0'])
def test_the_example_of_a_folded_layer_runs(name, layers):
  (example,) = doctest.DocTestFinder(recurse=False).find(getattr(layers, name))
  report = []
  assert len(example.examples) >= 6
  assert not doctest.DocTestRunner().run(example, out=report.append).failed, ''.join(report)


@pytest.mark.parametrize('layer', LAYERS, ids=by_keras)
def test_the_signature_names_every_argument(layer):
  parameters = inspect.signature(layer).parameters
  assert [*parameters] == [*own_arguments(layer), *SHARED, 'kwargs']
  config = layer(**{'graph': evonorm_tf.LayerGraph((evonorm_tf.graph.Node('neg', (0,)),))}
                 if 'graph' in parameters else {}).get_config()
  for name, parameter in parameters.items():
    if name not in ('kwargs', 'graph') and not re.search('_(initializer|regularizer|constraint)$', name):
      assert config[name] == parameter.default, name


@pytest.mark.parametrize('layer', LAYERS, ids=by_keras)
def test_the_docstring_has_every_part_once(layer):
  doc = inspect.getdoc(layer)
  assert re.findall(r'^(\w+):', doc.partition('\n\n')[2], re.MULTILINE) == [
      'Args', 'Input', 'Output', 'Raises', 'Example', 'Reference']
  arguments = doc.partition('\nArgs:\n')[2].partition('\nInput:')[0]
  documented = re.findall(r'^  (\*?\*?\w+(?:, \w+)*):', arguments, re.MULTILINE)
  assert sorted(name for names in documented for name in names.split(', ')) == sorted(
      [*own_arguments(layer), *SHARED, '**kwargs'])
  assert doc.splitlines()[0].startswith('y = graph(x' if layer.__name__ == 'GraphLayer'
                                        else f'EvoNorm-{layer.__name__[-2:]}: y = x')
  assert 'arXiv 2004.02967' in doc.partition('\nReference:')[2]
  assert max(map(len, doc.splitlines())) <= 120


@pytest.mark.parametrize('name', NAMES)
def test_both_keras_have_one_text(name):
  first, second = (inspect.getdoc(getattr(module, name)) for module in (evonorm_tf, keras3))
  second = re.sub(r'keras\.ops\.convert_to_numpy\((\w+(?:\(x\))?)\)', r'\1', re.sub(' *>>> import keras\n', '', second))
  assert second == first.replace('from evonorm_tf import', 'from evonorm_tf.keras3 import')


def test_a_subclass_has_its_own_signature():

  class Doubled(evonorm_tf.EvoNormS0):

    def __init__(self, factor=2., **kwargs):
      super().__init__(**kwargs)
      self.factor = factor

  assert [*inspect.signature(Doubled).parameters] == ['factor', 'kwargs']
