"""`Search`, a search as an object: its layers, candidates, table, plots and report, also while it runs."""

from collections.abc import Iterator
from collections.abc import Sequence
import numbers
import os
import pathlib
from typing import Any
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.output.object_folder import is_url
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.record import Record
from search.journal.saved_search import load_search
from search.library.layer import Layer
from search.reporting.plots import pareto_scatter
from search.reporting.plots import progress_plot
from search.reporting.ranked_layers import FOUND
from search.reporting.ranked_layers import layers_so_far
from search.reporting.ranked_layers import settled
from search.reporting.report import write_report

if TYPE_CHECKING:
  import optuna
  import pandas as pd


class Search:
  """A search in its folder, which may have ended, been interrupted, or be running in another process.

  It shows the records that there were when it was opened; `refresh` reads again. The one that a callback receives shows
  each record at once.

  Args:
    model_dir: the search's folder, or its URL in an object store.

  Raises:
    ModelDirError: if the folder holds no search, or its journal is not valid; the message names the folder or file.

  Example:
    >>> import search
    >>> found = search.Search('runs/quickstart')
    >>> found.best == found.layers[0]
    True
    >>> counts = found.to_dataframe().groupby('outcome').size()
    >>> found.plot_progress().savefig('runs/progress.png')
  """

  def __init__(self, model_dir: str | os.PathLike):
    self._source, saved = os.fspath(model_dir), load_search(model_dir)
    self._model_dir, self._records, self._config = saved.model_dir, saved.records, saved.config

  @property
  def model_dir(self) -> pathlib.Path:
    """The search's folder; of one in an object store, the local copy, in which `report` writes."""
    return self._model_dir

  @property
  def location(self) -> str:
    """Where the search is, on whichever machine: the absolute path of its folder, or its URL."""
    return self._source if is_url(self._source) else str(pathlib.Path(self._source).resolve())

  @property
  def config(self) -> dict[str, Any]:
    """The settings that the search's results depend on, as JSON data; dataclass objects have a key 'class'."""
    return self._config

  @property
  def records(self) -> Sequence[Record]:
    """The records of all stages, in the order in which they were written."""
    return self._records

  def refresh(self) -> 'Search':
    """Reads what the search has written since, and returns this object.

    Raises:
      ModelDirError: as the constructor.
    """
    self._records = load_search(self._source, self._model_dir).records
    return self

  @property
  def best(self) -> Layer | None:
    """The best layer found: the first of `layers`; None as long as there is none."""
    return next(iter(self.layers), None)

  @property
  def layers(self) -> list[Layer]:
    """The layers found, the best first.

    Those that were re-ranked, once all of them were; before that, and if none of them passed, all accepted candidates.
    """
    first = {record.name: record for record in self._records if record.stage == EVOLUTION}
    return [Layer(first[record.name], self._records) for record in layers_so_far(self._records, self._config)]

  @property
  def references(self) -> list[Layer]:
    """The known layers that the search compares with, in the order of their evaluation."""
    return [Layer(r, self._records) for r in records_lib.of_stage(self._records, REFERENCE)]

  @property
  def candidates(self) -> Iterator[Layer]:
    """All evaluated candidates, rejected ones too, in the order of their evaluation's end."""
    return (Layer(r, self._records) for r in records_lib.evaluated(self._records))

  def layer(self, name: str | int) -> Layer:
    """Returns one layer of the search.

    Args:
      name: a candidate's number or name, such as 17 or 'candidate 17', or a reference's name.

    Raises:
      ArgumentError: if the search has no record of it.
    """
    wanted = f'candidate {name}' if isinstance(name, numbers.Integral) else name
    for record in self._records:
      if record.name == wanted and record.stage in (REFERENCE, EVOLUTION):
        return Layer(record, self._records)
    raise ArgumentError(f'`name` must be of a layer that {self._model_dir} has evaluated, received {name!r}.')

  def stop(self) -> None:
    """Ends the evolution of a search that this process runs; the re-ranking follows. For callbacks.

    Raises:
      ArgumentError: if this process does not run the search.
    """
    raise ArgumentError(f'{self._model_dir}: `stop` is for callbacks, in the process that runs the search.')

  def to_dataframe(self, equations: bool = False) -> 'pd.DataFrame':
    """Returns the evaluated candidates as a pandas DataFrame, indexed by their numbers, in the order of evaluation.

    Its columns are outcome, detail, score (the mean), the score of each network under its name, parent, step_time,
    kept, seconds and elapsed; what there is not, is NaN. A network with the name of another column has ' (network)'
    after it.

    Args:
      equations: whether to add a column with the equations, at some milliseconds each (default False).

    Raises:
      MissingDependencyError: if pandas is not installed (an ImportError).
    """
    try:
      import pandas as pd
    except ImportError as e:
      raise MissingDependencyError(f'`to_dataframe` needs pandas: {how_to_install("analysis")}.') from e
    names = records_lib.architectures(self._records)
    rows = [self._row(record, names) for record in records_lib.evaluated(self._records)]
    fixed = 'index', 'outcome', 'detail', 'score', 'parent', 'step_time', 'kept', 'seconds', 'elapsed', 'equation'
    networks = [f'{name} (network)' if name in fixed else name for name in names]
    frame = pd.DataFrame(rows, columns=[*fixed[:4], *networks, *fixed[4:-1]]).set_index('index')
    frame = frame.astype({'parent': 'Int64'})  # which has a value for none
    return frame.assign(equation=[layer.equation for layer in self.candidates]) if equations else frame

  def _row(self, record: Record, names: Sequence[str]) -> list[Any]:
    score = record.mean_score if record.is_accepted else None
    cost = record.cost or {}
    return [record.index, record.outcome, record.detail, score, *map(record.scores.get, names), record.parent,
            cost.get('step_time'), cost.get('kept'), record.total_seconds, record.elapsed]

  def to_optuna(self, storage: Any = None, study_name: str | None = None) -> 'optuna.Study':
    """Returns the search as an Optuna study, in which every evaluated candidate is a trial.

    The objectives are the networks' accuracies; a rejected candidate is a failed trial. Equation, graph, parent and
    outcome are user attributes. optuna-dashboard shows a study that has a storage:

      search.Search('runs/quickstart').to_optuna('sqlite:///search.db')  # then: optuna-dashboard sqlite:///search.db

    Args:
      storage: an Optuna storage or its URL, such as 'sqlite:///search.db'; None (default) for this process's memory.
      study_name: the study's name, which the storage must not have yet; None (default) for the folder's name.

    Raises:
      ArgumentError: if no candidate was accepted yet, or the storage has a study of this name.
      MissingDependencyError: if Optuna is not installed (an ImportError).
    """
    from search.library.optuna_study import make_study
    return make_study(self, storage, study_name)

  def plot_progress(self) -> Figure:
    """Returns a figure of scores and outcomes against candidates evaluated."""
    return progress_plot(self._records)

  def plot_pareto(self) -> Figure:
    """Returns a figure of the accepted candidates' scores and their Pareto frontier, a panel for each two networks.

    With one network, it shows the scores against the candidates' numbers.
    """
    return pareto_scatter(self._records)

  def report(self) -> pathlib.Path:
    """Writes the report, with drawings and JSON files of the best layers, to `model_dir`/report; returns its path.

    Of a re-ranking it tells once all layers were.
    """
    reranking = self._config.get('reranking') or {}
    evaluation = reranking.get('evaluation')
    task = evaluation.get('task') if isinstance(evaluation, dict) else None
    steps = task.get('steps') if isinstance(task, dict) else None  # an evaluation of one's own may have none
    return write_report(settled(self._records, self._config), self._model_dir, reranking.get('best', FOUND),
                        steps=steps if isinstance(steps, int) else None)

  def resume(self, **settings: Any) -> 'Search':
    """Goes on with a search that a gin file or a name had configured, and returns it when it has ended.

    Numbers are totals, earlier runs included: a search that its time has ended goes on only with a larger
    `max_minutes`, or None for no limit.

    Args:
      **settings: arguments of `search.run` that may change, such as `candidates`, `max_minutes`, `workers` and
        `callbacks`.

    Raises:
      ArgumentError: if the search was given objects, which the folder does not keep: call `search.run` with them again.
    """
    from search.library.running import resume
    return resume(self._source, self._model_dir, **settings)

  def __repr__(self) -> str:
    evaluated = records_lib.evaluated(self._records)
    return (f'<Search {self._model_dir}, {len(evaluated)} candidates evaluated, '
            f'{len(records_lib.accepted(evaluated))} accepted, best: {self.best}>')


class RunningSearch(Search):
  """The search that this process runs, as its callbacks receive it: it shows every record once it is written.

  Args:
    model_dir: the search's folder.
    records: the journal's list of records, which grows.
    config: the settings that the results depend on, as JSON data.
    url: the URL of the folder that `model_dir` is a copy of (default: none).

  Attributes:
    is_stopped: whether `stop` was called.
  """

  def __init__(self, model_dir: str | os.PathLike, records: list[Record], config: dict[str, Any], url: str = ''):
    self._source, self._model_dir = url or os.fspath(model_dir), pathlib.Path(model_dir)
    self._records, self._config = records, config
    self.is_stopped = False

  def refresh(self) -> Search:
    """Returns this object, which shows all records already."""
    return self

  def stop(self) -> None:
    """Ends the evolution; the re-ranking follows."""
    self.is_stopped = True
