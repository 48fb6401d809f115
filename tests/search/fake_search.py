"""A small search with a fake evaluation, for the tests of the loop and of what interrupts it."""

import dataclasses
import json
import pathlib
import random
import zlib

from evonorm_tf.graph.layer_graph import LayerGraph
from search.evaluation.evaluation import Outcome
from search.evolution import Reranking
from search.evolution import run_search
from search.execution.executors import WorkerDied
from search.graphs.random_graph import SearchSpace
from search.selection.proposal import TournamentEvolution

REFERENCES = ('bn_relu', 'evonorm_s0')
FINALISTS = 3


@dataclasses.dataclass(frozen=True)
class FakeTask:
  steps: int = 7

  def load(self):
    return {'test': (None, [0] * 10)}


@dataclasses.dataclass(frozen=True)
class FakeEvaluation:
  """Scores that follow from graph and seed alone; one graph in five fails, one in five is rejected."""
  task: FakeTask = FakeTask()
  all_fail: bool = False
  seed: int = 0

  def check(self):
    """Nothing can be wrong."""

  def informed_by(self, records):
    """Takes no notice of what is on record."""
    return self

  def with_seed(self, seed):
    return dataclasses.replace(self, seed=seed)

  def evaluate(self, spec):
    text = json.dumps(spec.to_dict()) if isinstance(spec, LayerGraph) else spec
    rng = random.Random(zlib.crc32(text.encode()))
    kind = rng.random()
    if isinstance(spec, LayerGraph) and (kind < .4 or self.all_fail):
      return Outcome('failed' if kind < .2 else 'rejected: quality', 'a reason')
    rng = random.Random(f'{self.seed} {text}') if self.seed else rng
    scores = {name: rng.random() for name in ('resnet', 'mobilenet_v2')}
    screening, test_scores = ({name: factor * score for name, score in scores.items()} for factor in (.5, .75))
    return Outcome('accepted', '', screening, 1., scores, test_scores, [], {'total': .5})


class FakeExecutor:
  """Two tasks at a time, which end in random order; `deadly` ones kill their worker."""
  in_process = False

  def __init__(self, deadly=()):
    self._tasks, self._rng, self._deadly = [], random.Random(0), deadly
    self.most = 0

  @property
  def free(self):
    return 2 - len(self._tasks)

  def submit(self, key, function, *args):
    assert self.free
    self._tasks.append((key, function, args))
    self.most = max(self.most, len(self._tasks))

  def next_result(self):
    key, function, args = self._tasks.pop(self._rng.randrange(len(self._tasks)))
    return key, WorkerDied('the worker process died') if key in self._deadly else function(*args)

  def probe(self):
    """Workers start."""

  def close(self):
    self.most = None


def search(model_dir, candidates=12, **options):
  """Runs a small search, where `options` override its arguments; returns its records as JSON data."""
  evaluation = options.pop('evaluation', FakeEvaluation())
  arguments = dict(
      model_dir=str(model_dir), evaluation=evaluation, reranking=Reranking(evaluation, top=FINALISTS, best=2, seeds=1),
      strategy=TournamentEvolution(4, .5, random_offspring=0.), space=SearchSpace(6), window=4, candidates=candidates,
      references=REFERENCES, seed=1)
  return [record.to_json() for record in run_search(**{**arguments, **options})]


def untimed(records):
  return [{k: v for k, v in r.items() if k not in ('elapsed', 'seconds')} for r in records]


def read(model_dir):
  """The records of a journal without times, notes and checksums."""
  lines = map(json.loads, (pathlib.Path(model_dir) / 'journal.jsonl').read_text().splitlines()[1:])
  return untimed({k: v for k, v in line.items() if k != 'checksum'} for line in lines if 'stage' in line)


def stage(records, name):
  return [r for r in records if r['stage'] == name]
