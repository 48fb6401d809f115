"""A search whose evaluations leave traces, for the test that kills it. Its workers do without TensorFlow."""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import time
import types
import zlib

MARK = 'SEARCH_OF_TEST'  # variable by which the descendants of a search are found
CANDIDATES = 120
REFERENCES = ('bn_relu', 'evonorm_s0')
RAY_AGENTS = (b'ray::DashboardAgent', b'ray::RuntimeEnvAgent')  # by their titles: raylet's command names their files


@dataclasses.dataclass
class LightOutcome:
  """The fields of `search.evaluation.evaluation.Outcome`, without its imports."""
  outcome: str
  scores: dict
  detail: str = ''
  screening: dict = dataclasses.field(default_factory=dict)
  gradient_norm: float | None = None
  test_scores: dict = dataclasses.field(default_factory=dict)
  rungs: list = dataclasses.field(default_factory=list)
  seconds: dict = dataclasses.field(default_factory=dict)
  confirmation: dict = dataclasses.field(default_factory=dict)
  cost: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TracedEvaluation:
  """Scores that follow from the graph alone, after a tenth of a second; each evaluation is noted in a file.

  The file's lines are the number of the run, and what was evaluated for what with which seed.
  """
  purpose: str
  seed: int = 0

  def check(self):
    """Nothing can be wrong."""

  def informed_by(self, records):
    """Takes no notice of what is on record."""
    return self

  def with_seed(self, seed):
    return dataclasses.replace(self, seed=seed)

  def evaluate(self, spec):
    text = f'{self.purpose} {self.seed} {spec if isinstance(spec, str) else json.dumps(spec.to_dict())}'
    folder, run = os.environ[MARK].split(':')
    with open(pathlib.Path(folder) / 'traces', 'a', encoding='utf-8') as file:
      file.write(f'{run} {text}\n')
    rng = random.Random(zlib.crc32(text.encode()))
    time.sleep(rng.uniform(.05, .15))
    return LightOutcome('accepted', {'resnet': rng.random()}) if rng.random() < .7 else LightOutcome('failed', {})


def run(executor_name, folder, run_number):
  """Starts or goes on with a search on 'this process', 'pool' or 'Ray'."""
  os.environ[MARK] = f'{folder}:{run_number}'
  from search import evolution  # pylint: disable=g-import-not-at-top
  from search.execution import executors
  from search.execution import ray_executor
  from search.graphs.random_graph import SearchSpace
  from search.selection.proposal import TournamentEvolution
  executors.prepare_tensorflow = ray_executor.prepare_tensorflow = abs
  evolution.Summaries = lambda *_, **__: types.SimpleNamespace(
      write=lambda records: None, write_text=lambda tag, text: None, close=lambda: None)
  evolution._report = lambda *_: None
  executor = {'this process': executors.InProcess, 'pool': lambda: executors.WorkerProcesses(2),
              'Ray': lambda: ray_executor.RayExecutor(tasks=2, candidates_per_process=20)}[executor_name]
  with open(os.devnull, 'w', encoding='utf-8') as nowhere, contextlib.redirect_stdout(nowhere):
    evolution.run_search(
        str(folder), TracedEvaluation('search'), evolution.Reranking(TracedEvaluation('reranking'), 3),
        TournamentEvolution(10, .3), SearchSpace(8), window=20, candidates=CANDIDATES, references=REFERENCES,
        executor=executor, retries=99)  # a kill from outside must not be laid to a candidate's charge


def descendants(folder, with_agents=True):
  """The ids of the processes that a search in the folder has started, but not of its own.

  Ray's agents run no candidate. One of a Ray that was killed stays for a minute: it wants to report that to a part of
  Ray which has ended too.
  """
  found = []
  for process in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):
      is_agent = (process / 'cmdline').read_bytes().startswith(RAY_AGENTS)
      if f'{MARK}={folder}:'.encode() in (process / 'environ').read_bytes() and (with_agents or not is_agent):
        found.append(int(process.name))
  return found
