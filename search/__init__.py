"""The evolutionary search for norm-activation layers, which mutates and selects layer graphs (as in the paper).

  found = search.run('quickstart', model_dir='runs/quickstart')  # 13 minutes on two cores
  norm_act = found.best.norm_act(groups=16)

The names below are the library: `run` runs a search, `Search` opens one, the others are what a search is built from.
The commands are `run_search`, `run_study`, `analyze`, `compile_layer` and `audit_equivalence`. `evolution` is the root
of a search, `study` that of several; `scheduler`, `jobs` and `recorder` are the main loop. The folders, in the order in
which a candidate passes through them:
- `graphs`: random layer graphs, mutations, the static filter, equations and drawings;
- `equivalence`: the recognition of graphs that are one layer;
- `selection`: the population, tournaments and proposals of candidates;
- `execution`: evaluations in this process, in worker processes or on Ray;
- `evaluation`: the proxy task and the tests that reject candidates;
- `journal`: the results on disk;
- `reporting`: progress, plots and reports;
- `library`: running a search from Python, opened searches and their layers, callbacks;
- `code_generation`: Python files of the layers found.
"""

from typing import TYPE_CHECKING

from evonorm_tf import former_names
from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.evaluation.architecture import Architecture as Architecture
  from search.evaluation.evaluation import Evaluation as Evaluation
  from search.evaluation.evaluation import Outcome as Outcome
  from search.evaluation.proxy_task import ProxyTask as ProxyTask
  from search.evaluation.rejection import LossTest as LossTest
  from search.evaluation.rejection import OwnRejected as OwnRejected
  from search.evaluation.rejection import QualityTest as QualityTest
  from search.evaluation.rejection import RejectionTest as RejectionTest
  from search.evaluation.rejection import StabilityTest as StabilityTest
  from search.evaluation.successive_halving import SuccessiveHalving as SuccessiveHalving
  from search.evolution import Reranking as Reranking
  from search.graphs.live_mutation import mutate_live as mutate_live
  from search.graphs.mutation import mutate as mutate
  from search.graphs.random_graph import SearchSpace as SearchSpace
  from search.jobs import Evaluator as Evaluator
  from search.journal.candidate import Candidate as Candidate
  from search.journal.record import Record as Record
  from search.library.callbacks import Callback as Callback
  from search.library.callbacks import EarlyStopping as EarlyStopping
  from search.library.extension import register_index_set as register_index_set
  from search.library.extension import register_primitive as register_primitive
  from search.library.hparams import HParams as HParams
  from search.library.layer import Layer as Layer
  from search.library.opened_search import Search as Search
  from search.library.running import run as run
  from search.selection.niches import kind_of_layer as kind_of_layer
  from search.selection.population import Population as Population
  from search.selection.proposal import RandomSearch as RandomSearch
  from search.selection.proposal import Strategy as Strategy
  from search.selection.proposal import TournamentEvolution as TournamentEvolution
  from search.selection.tournament import average_winner as average_winner
  from search.selection.tournament import pareto_winner as pareto_winner
  from search.selection.tournament import pareto_winner_with_cost as pareto_winner_with_cost

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'evaluation.architecture': ('Architecture',),
    'evaluation.evaluation': ('Evaluation', 'Outcome'),
    'evaluation.proxy_task': ('ProxyTask',),
    'evaluation.rejection': ('LossTest', 'OwnRejected', 'QualityTest', 'RejectionTest', 'StabilityTest'),
    'evaluation.successive_halving': ('SuccessiveHalving',),
    'evolution': ('Reranking',),
    'graphs.live_mutation': ('mutate_live',),
    'graphs.mutation': ('mutate',),
    'graphs.random_graph': ('SearchSpace',),
    'journal.candidate': ('Candidate',),
    'journal.record': ('Record',),
    'library.callbacks': ('Callback', 'EarlyStopping'),
    'library.extension': ('register_index_set', 'register_primitive'),
    'library.hparams': ('HParams',),
    'library.layer': ('Layer',),
    'library.opened_search': ('Search',),
    'library.running': ('run',),
    'jobs': ('Evaluator',),
    'selection.niches': ('kind_of_layer',),
    'selection.population': ('Population',),
    'selection.proposal': ('RandomSearch', 'Strategy', 'TournamentEvolution'),
    'selection.tournament': ('average_winner', 'pareto_winner', 'pareto_winner_with_cost'),
})

former_names.install()
