"""The page of a search: its data against the records, and that nothing leaves the file."""

import base64
import dataclasses
import html.parser
import importlib.util
import io
import json
import pathlib
import re
import subprocess
import sys

from matplotlib.image import imread
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.reporting import page as page_lib
from search.reporting.page import page
from search.reporting.ranked_layers import table_caption


class Parser(html.parser.HTMLParser):
  """Collects the elements and the text of scripts."""

  def __init__(self):
    super().__init__()
    self.elements, self.scripts, self._open = [], [], None

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    self._open = tag

  def handle_data(self, data):
    if self._open == 'script':
      self.scripts.append(data)

  def handle_endtag(self, tag):
    self._open = None


def parsed(text):
  parser = Parser()
  parser.feed(text)
  parser.close()
  return parser


def data_of(text):
  return json.loads(parsed(text).scripts[0])


@pytest.fixture
def records(make_record):
  """A reference, three accepted candidates and a rejected one; the first candidate and the reference are re-ranked."""
  tanh = LayerGraph((Node('tanh', (0,)),))
  cost = {'step_time': 1.25, 'kept': None}
  return [
      make_record('reference', (.5, .25), name='bn_relu'),
      dataclasses.replace(make_record(index=0, scores=(.5, .75), graph=tanh), cost=cost),
      make_record(index=1, scores=(.75, .5), parent=0), make_record(index=2, scores=(.25, .25), parent=1),
      make_record(index=3),
      make_record('reranking', (.5, .5), index=0, graph=tanh, test_scores=(.25, .375), seed=0),
      make_record('reranking', (.75, .25), index=0, graph=tanh, test_scores=(.75, .625), seed=1),
      make_record('reranking', (.5, .5), name='bn_relu', test_scores=(.5, .5), seed=0)]


def test_the_layers_are_those_of_the_records(records):
  data = data_of(page(records, ['two lines', 'of text'], 'what they are'))
  assert data['overview'] == ['two lines', 'of text'] and data['caption'] == 'what they are'
  layers = {layer['name']: layer for layer in data['layers']}
  assert list(layers) == ['bn_relu', 'candidate 0', 'candidate 1', 'candidate 2']
  titles = [measure['title'] for measure in data['measures']]
  assert titles == ['search', 'validation', 'test', *(f'{place}, {name}' for place in ('search', 'validation', 'test')
                                                      for name in ('resnet', 'mobilenet_v2')),
                    'step time, × BN-ReLU', 'kept, × x']
  assert layers['candidate 0']['values'] == [.625, .5, .5, .5, .75, .625, .375, .5, .5, 1.25, None]
  assert layers['candidate 1']['values'] == [.625, None, None, .75, .5, *[None] * 6]
  assert [layer['kind'] for layer in layers.values()] == ['reference', 'found', 'candidate', 'candidate']
  assert [layer['isOnFront'] for layer in layers.values()] == [False, True, True, False]
  assert layers['candidate 0']['equation'] == 'y = tanh(x) · γ + β' and 'tanh' in layers['candidate 0']['known']
  assert imread(io.BytesIO(base64.b64decode(layers['bn_relu']['drawing']))).shape[0] > 100
  assert data['across'] == 'search, mobilenet_v2'
  assert [(step['name'], step['effect']) for step in data['ancestry']] == [('candidate 0', None)]


def test_networks_of_the_reranking_alone_have_columns_too(make_record):
  records = [make_record(index=0, scores=(.5,)), make_record('reranking', (.5, .75), index=0, test_scores=(.25, .5))]
  data = data_of(page(records, [], ''))
  values = dict(zip((measure['title'] for measure in data['measures']), data['layers'][0]['values']))
  assert values['search, mobilenet_v2'] is None and values['test, mobilenet_v2'] == .5 and data['across'] == 'candidate'
  assert 'means of the networks' in table_caption(records, None, None)


def test_the_order_is_the_reports_and_outliers_stretch_no_axis(make_record):
  scores = [.40, .41, .42, .43, .44, .45, .46, .47, .02]
  data = data_of(page([make_record(index=i, scores=(score,)) for i, score in enumerate(scores)], [], ''))
  ranges = {measure['title']: measure['inner'] for measure in data['measures']}
  assert data['order'] == 'validation' and ranges['search'] == [.40, .47] and ranges['test'] is None


def test_only_the_best_have_drawings_and_only_so_many_are_there(records, monkeypatch):
  monkeypatch.setattr(page_lib, 'MOST_DRAWINGS', 1)
  monkeypatch.setattr(page_lib, 'MOST_LAYERS', 2)
  layers = data_of(page(records, [], ''))['layers']
  assert [(layer['name'], bool(layer['drawing'])) for layer in layers] == [
      ('bn_relu', True), ('candidate 0', True), ('candidate 1', False)]


def test_the_page_is_one_file_and_names_cannot_leave_their_place(records):
  hostile = '</script><script>alert(1)</script>'
  record = dataclasses.replace(records[1], scores={hostile: .5, 'DATA': .25}, cost=None)
  text = page([record], [hostile], hostile)
  scripts = parsed(text).scripts
  assert len(scripts) == 2 and json.loads(scripts[0])['overview'] == [hostile]
  assert f'search, {hostile}' in [measure['title'] for measure in json.loads(scripts[0])['measures']]
  assert not [value for _, attributes in parsed(text).elements for name, value in attributes.items()
              if name in ('src', 'href')]
  assert not re.findall(r'https?://(?!www\.w3\.org/2000/svg)', text)


@pytest.mark.parametrize('stage, scores', [(None, ()), ('evolution', ()), ('reference', (.5,)), ('evolution', (.5,))])
def test_any_records_have_a_page(make_record, stage, scores):
  records = [make_record(stage, scores, name='bn_relu' if stage == 'reference' else None)] if stage else []
  data = data_of(page(records, [], ''))
  assert len(data['layers']) == bool(scores) and data['across'] == 'candidate'


IN_A_BROWSER = """
(() => {
  const rows = () => [...document.querySelectorAll('#layers tbody tr')].map(row => row.dataset.layer);
  const press = title => [...document.querySelectorAll('#layers th button')].find(b => b.textContent === title).click();
  const sorts = () => [...document.querySelectorAll('#layers th')].map(th => th.ariaSort).filter(Boolean).join();
  const enter = element => element.dispatchEvent(new MouseEvent('mouseenter', {clientX: 9, clientY: 9}));
  const tip = document.getElementById('tip'), filter = document.getElementById('filter');
  const choose = (id, key) => {
    document.getElementById(id).value = key;
    document.getElementById(id).dispatchEvent(new Event('change'));
  };
  const seen = {first: rows()};
  press('search');
  seen.search = [rows(), sorts()];
  press('search');
  seen.reversed = [rows(), sorts()];
  press('layer');
  seen.layer = rows();
  filter.value = 'TANH';
  filter.dispatchEvent(new Event('input'));
  seen.filtered = rows();
  enter(document.querySelector('#layers tbody tr'));
  seen.tip = [tip.style.display, tip.querySelector('pre').textContent, tip.querySelectorAll('img').length];
  seen.marked = [...document.querySelectorAll('.is-marked')].map(element => element.tagName);
  seen.dots = document.querySelectorAll('#chart circle').length;
  seen.references = document.querySelectorAll('#chart .reference').length;
  choose('x', [...document.querySelectorAll('#x option')].find(o => o.textContent === 'candidate').value);
  seen.candidates = document.querySelectorAll('#chart circle').length;
  seen.across = [...document.querySelectorAll('#chart text')].some(text => text.textContent === 'candidate');
  return JSON.stringify(seen);
})()
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('PyQt6') is None, reason='PyQt6-WebEngine is not installed')
def test_in_a_browser(records, tmp_path):
  (tmp_path / 'index.html').write_text(page(records, [], ''), encoding='utf-8')
  (tmp_path / 'script.js').write_text(IN_A_BROWSER, encoding='utf-8')
  ended = subprocess.run([sys.executable, pathlib.Path(__file__).with_name('browser.py'), tmp_path / 'index.html',
                          tmp_path / 'script.js'], capture_output=True, text=True, timeout=100, check=False)
  assert ended.returncode == 0, ended.stderr
  told = json.loads(ended.stdout)
  seen = json.loads(told['result'])
  assert told['console'] == []
  # By validation first; then by search, where candidates 0 and 1 have .625, the reference .375 and candidate 2 .25.
  assert seen['first'][:2] == ['bn_relu', 'candidate 0']
  assert seen['search'] == [['candidate 0', 'candidate 1', 'bn_relu', 'candidate 2'], 'descending']
  assert seen['reversed'] == [['candidate 2', 'bn_relu', 'candidate 0', 'candidate 1'], 'ascending']
  assert seen['layer'][:3] == ['candidate 0', 'candidate 1', 'candidate 2'] and seen['filtered'] == ['candidate 0']
  assert seen['tip'] == ['block', 'y = tanh(x) · γ + β', 1] and {'TR', 'circle'} <= set(seen['marked'])
  assert seen['references'] == 1 and seen['dots'] == seen['candidates'] == 3 and seen['across']
