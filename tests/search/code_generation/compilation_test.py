"""The command that compiles a layer: what it takes, what it refuses, and that its file stands alone."""

import os
import pathlib
import subprocess
import sys

import pytest

from search.code_generation.compilation import compile_layer
from search.code_generation.compilation import find_graph
from search.graphs.known_graphs import known_graph
from search.journal.journal import Journal

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def model_dir(tmp_path, make_record):
  """A search whose best candidate of the re-ranking is EvoNorm-B0."""
  graphs = {0: known_graph('evonorm_s0'), 1: known_graph('evonorm_b0'), 2: known_graph('gn_relu')}
  with Journal(tmp_path / 'search' / 'journal.jsonl', {}) as journal:
    for index, score in ((0, .5), (1, .4), (2, .3)):
      journal.append(make_record(index=index, scores=(score,), graph=graphs[index]))
    for index, score in ((0, .6), (1, .7)):
      journal.append(make_record('reranking', (score,), index=index, graph=graphs[index], test_scores=(score,)))
  return tmp_path / 'search'


def test_a_name_a_file_and_a_search(tmp_path, model_dir):
  known_graph('gn_silu').save(tmp_path / 'best.json')
  for spelt in ('evonorm_s1', 'EvoNormS1', 'evonorm-s1'):
    assert find_graph(spelt) == known_graph('evonorm_s1')
  with pytest.raises(ValueError, match=r"received 'evonorm_s9', which does not exist\. Did you mean 'evonorm_s.'\?"):
    find_graph('evonorm_s9')
  assert find_graph(str(tmp_path / 'best.json')) == known_graph('gn_silu')
  assert find_graph(str(model_dir)) == known_graph('evonorm_b0')


def test_a_file_wins_over_another_spelling_of_a_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  known_graph('gn_silu').save('EvoNormS1')
  assert find_graph('EvoNormS1') == known_graph('gn_silu')


def test_writes_and_overwrites(tmp_path):
  path = tmp_path / 'layer.py'
  compile_layer('evonorm_s0', str(path), 'First')
  first = path.read_text()
  assert 'class First(' in first
  with pytest.raises(ValueError, match='layer.py.* exists already; `overwrite` replaces it'):
    compile_layer('evonorm_b0', str(path), 'Second')
  assert path.read_text() == first
  compile_layer('evonorm_b0', str(path), 'Second', overwrite=True)
  assert 'class Second(' in path.read_text() and [p.name for p in tmp_path.iterdir()] == ['layer.py']


@pytest.mark.parametrize('layer, output, name, message', [
    ('missing.json', 'layer.py', 'A', "`layer` must be a JSON file.*'.*missing.json', which does not exist"),
    ('text.json', 'layer.py', 'A', 'text.json: not JSON'),
    ('object.json', 'layer.py', 'A', 'object.json: `format` must be'),
    ('empty', 'layer.py', 'A', 'empty holds no journal.jsonl'),
    ('begun', 'layer.py', 'A', 'begun: the search has accepted no candidate yet'),
    ('good.json', 'nowhere/layer.py', 'A', '`output` must lie in a folder that exists, received .*nowhere/layer.py'),
    ('good.json', 'empty', 'A', '`output` must be a file, received the folder'),
    ('good.json', 'layer.py', 'my layer', "`class_name` must be a name in Python.*, received 'my layer'"),
    ('good.json', 'layer.py', 'class', "`class_name` must be a name in Python.*, received 'class'"),
    ('good.json', 'layer.py', 'é', "`class_name` must be a name in Python, of ASCII characters, received 'é'"),
    ('good.json', 'layer.py', 'tf', "`class_name` must differ from the names that the file uses.*, received 'tf'"),
    ('good.json', 'layer.py', 'range', "`class_name` must differ from .* of Python itself, received 'range'")])
def test_errors_write_nothing(tmp_path, layer, output, name, message):
  (tmp_path / 'text.json').write_text('no graph')
  (tmp_path / 'object.json').write_text('{}')
  (tmp_path / 'empty').mkdir()
  Journal(tmp_path / 'begun' / 'journal.jsonl', {}).close()
  known_graph('gn_silu').save(tmp_path / 'good.json')
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(ValueError, match=message):
    compile_layer(str(tmp_path / layer), str(tmp_path / output), name)
  assert sorted(tmp_path.rglob('*')) == before


def run(*arguments, cwd=ROOT):
  environment = {name: value for name, value in os.environ.items() if name != 'TF_CPP_MIN_LOG_LEVEL'}
  return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
                        check=False)


def test_another_keras_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r'`keras` must be one of \[2, 3\], received 1'):
    compile_layer('evonorm_s0', str(tmp_path / 'layer.py'), 'A', keras=1)


@pytest.mark.slow
def test_the_binary_and_its_file_alone(tmp_path):
  output = tmp_path / 'layer.py'
  made = run('-m', 'search.compile_layer', '--layer=evonorm_b2', f'--output={output}', '--class_name=Alone')
  assert (made.returncode, made.stderr) == (0, '')  # none of TensorFlow's lines
  assert 'y = x / max(s[b,w,h](x), √μ[w,h](x²) − x) · γ + β' in made.stdout and r'y = \frac{x}{\max(' in made.stdout
  used = run('-c', 'import sys, layer, tensorflow as tf\n'
             'y = layer.Alone()(tf.ones([2, 3, 3, 4]), training=True)\n'
             'print(y.shape, sorted({"search", "evonorm_tf"} & set(sys.modules)))', cwd=tmp_path)
  assert used.stdout == '(2, 3, 3, 4) []\n', used.stderr
  made = run('-m', 'search.compile_layer', '--layer=evonorm_s0', f'--output={output}', '--class_name=Alone',
             '--keras=3', '--overwrite')
  assert (made.returncode, made.stderr) == (0, '')
  used = run('-c', 'import sys, keras, layer\n'
             'y = keras.Sequential([keras.Input((3, 3, 4)), layer.Alone()])(keras.ops.ones([2, 3, 3, 4]))\n'
             'print(y.shape, sorted({"search", "evonorm_tf"} & set(sys.modules)))', cwd=tmp_path)
  assert used.stdout == '(2, 3, 3, 4) []\n', used.stderr
  printed = run('-m', 'search.compile_layer', '--layer=evonorm_b2')
  assert printed.stdout.startswith('y = x / max(') and 'Written' not in printed.stdout and printed.returncode == 0
  refused = run('-m', 'search.compile_layer', '--layer=evonorm_b2', f'--output={output}')
  assert refused.returncode == 1 and refused.stderr.startswith('error: `output`') and 'Traceback' not in refused.stderr
