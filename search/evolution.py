"""The search: evolution of layer graphs, the loop that joins proposal, evaluation and selection (paper section 6).

Everything a search knows stands in its journal: the same call on the same `model_dir` goes on where it stopped.
"""

import dataclasses
import inspect
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence

from absl import logging

from evonorm_tf.layer_graph import LayerGraph
from search import records as records_lib
from search import report
from search.evaluation import Evaluation
from search.evaluation import FAILED
from search.evaluation import Outcome
from search.executors import InProcess
from search.executors import WorkerProcesses
from search.journal import Journal
from search.known_graphs import KNOWN_GRAPHS
from search.population import Population
from search.progress import Progress
from search.proposal import Proposal
from search.proposal import propose
from search.random_graph import SearchSpace
from search.summaries import Summaries

REFERENCE, EVOLUTION, RERANKING = 'reference', 'evolution', 'reranking'


@dataclasses.dataclass(frozen=True)
class Reranking:
  """The last stage: the best candidates and the references on a larger task.

  Attributes:
    evaluation: how they are judged, for instance with a longer schedule.
    top: how many candidates, by their mean score in the search (the paper's ten).
    best: how many of them are reported (the paper's three).
  """
  evaluation: Evaluation
  top: int = 10
  best: int = 3


@dataclasses.dataclass(frozen=True)
class SearchConfig:
  """What identifies a search: its results depend on nothing else, and its journal holds it.

  Attributes:
    evaluation: how a candidate is judged.
    reranking: the last stage.
    strategy: a `TournamentEvolution` or `RandomSearch`.
    space: the search space.
    window: how many accepted candidates are alive at a time.
    references: names of known layers, judged as candidates are, for comparison.
    seed: of the proposals.
  """
  evaluation: Evaluation
  reranking: Reranking
  strategy: object
  space: SearchSpace
  window: int
  references: tuple[str, ...] = ()
  seed: int = 0
