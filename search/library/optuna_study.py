"""A search as an Optuna study, for Optuna's plots and for optuna-dashboard."""

import json
from typing import Any
from typing import TYPE_CHECKING

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION

if TYPE_CHECKING:
  import optuna

  from search.library.opened_search import Search


def make_study(found: 'Search', storage: Any, study_name: str | None) -> 'optuna.Study':
  """Returns a study with a trial for each evaluated candidate; `Search.to_optuna` describes it.

  Args:
    found: the search.
    storage: an Optuna storage, its URL, or None for memory.
    study_name: the study's name; None for that of the search's folder.

  Raises:
    ArgumentError: if no candidate was accepted yet, or the storage has a study of this name.
    MissingDependencyError: if Optuna is not installed (an ImportError).
  """
  try:
    import optuna
  except ImportError as e:
    raise MissingDependencyError(f'`to_optuna` needs Optuna: {how_to_install("analysis")}.') from e
  names = records_lib.architectures(found.records)
  if not names:
    raise ArgumentError(f'{found.model_dir}: the search has accepted no candidate yet, so a study has no objectives.')
  name = study_name or found.model_dir.resolve().name
  try:
    study = optuna.create_study(storage=storage, study_name=name, directions=['maximize'] * len(names))
  except optuna.exceptions.DuplicatedStudyError as e:
    raise ArgumentError(f'`study_name` {name!r} is a study of this storage already.') from e
  study.set_metric_names(names)
  study.set_user_attr('model_dir', str(found.model_dir))
  states = optuna.trial.TrialState
  parents = {record.index: record.parent for record in records_lib.of_stage(found.records, EVOLUTION)}
  study.add_trials([
      optuna.trial.create_trial(
          state=states.COMPLETE if layer.is_accepted else states.FAIL,
          values=[layer.scores[n] for n in names] if layer.is_accepted else None,
          user_attrs={'candidate': layer.index, 'equation': layer.equation, 'outcome': layer.outcome,
                      'detail': layer.detail, 'parent': parents[layer.index],
                      'graph': json.dumps(layer.graph.to_dict()) if layer.graph else None, 'seconds': layer.seconds})
      for layer in found.candidates])
  return study
