"""Writing of a sweep's runs to TensorBoard's HParams dashboard, one row per run."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import pathlib

from tensorboard.plugins.hparams import api as hp
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary
import tensorflow as tf

from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import METRICS
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run

_PREFIX = 'sweep/'  # a trainer may write tags such as `accuracy` itself


def write_experiment(model_dir: pathlib.Path, runs: Sequence[Run]) -> None:
  """Writes the columns of the dashboard: the hyperparameters of a sweep with their values, and its metrics.

  Args:
    model_dir: the folder of the sweep.
    runs: all runs of the sweep, which supply the values of the hyperparameters.
  """
  domains = {name: hp.Discrete(sorted({getattr(run, name) for run in runs}))
             for name in ('norm_act', 'batch_size', 'seed')}
  with _events(model_dir, 'hparams'):
    hp.hparams_config(hparams=[hp.HParam(name, domain) for name, domain in domains.items()],
                      metrics=[hp.Metric(_PREFIX + name, display_name=name) for name in METRICS])


def write_run(model_dir: pathlib.Path, run: Run, result: Result) -> None:
  """Writes the row of a run that is done or has failed, in place of the row of an earlier attempt.

  Args:
    model_dir: the folder of the sweep; the row goes to the run's folder in it.
    run: the run.
    result: its result.
  """
  with _events(model_dir / run.folder, 'hparams'):
    hp.hparams({'norm_act': run.norm_act, 'batch_size': run.batch_size, 'seed': run.seed}, trial_id=run.folder)
    for name, value in result.metrics.items():
      tf.summary.scalar(_PREFIX + name, value)
    status = api_pb2.STATUS_SUCCESS if result.status == DONE else api_pb2.STATUS_FAILURE
    tf.summary.experimental.write_raw_pb(summary.session_end_pb(status).SerializeToString())


def write_text(model_dir: pathlib.Path, tag: str, text: str) -> None:
  """Writes a text to TensorBoard's text dashboard, in place of the previous one.

  Args:
    model_dir: the folder of the sweep.
    tag: the title of the text in the dashboard.
    text: the text in Markdown.
  """
  with _events(model_dir, 'text'):
    tf.summary.text(tag, text)


@contextlib.contextmanager
def _events(folder: pathlib.Path, kind: str) -> Iterator[None]:
  """A context whose summaries go to a new event file with the suffix `kind`; earlier files of this kind are removed."""
  for earlier in folder.glob(f'events.out.tfevents.*.{kind}'):
    earlier.unlink()
  writer = tf.summary.create_file_writer(str(folder), filename_suffix=f'.{kind}')
  with tf.device('CPU:0'), writer.as_default(step=0):
    yield
  writer.close()
