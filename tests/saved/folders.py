"""Where what was saved lies, and what the tests and `make` ask of it."""

import collections
import json
import pathlib
import shutil

import numpy as np
import tensorflow as tf

FOLDER = pathlib.Path(__file__).parent
MODELS = FOLDER / 'models'
# What lets a run that has ended go on, one step or one candidate further.
LONGER = {
    'classifier': 'run_classification.epochs = 0.0048', 'gan': 'run_gan.steps = 3',
    'detector': 'run_mask_rcnn.epochs = 1.5', 'search': 'run_search.candidates = 5'}
# What searches did before these settings came; with other values, a search begun then is refused.
SEARCHED_BEFORE = (
    "evolution.run_search.same_layer = 'exact'", "random_graph.SearchSpace.uniform_over = 'pairs'",
    'proposal.TournamentEvolution.mutations = 1', 'proposal.TournamentEvolution.random_offspring = 0.0',
    'evolution.Reranking.seeds = 1')
_VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'


def gin_file(name):
  return FOLDER / 'gin' / f'{name}.gin'


def expected_values():
  """What the step and the candidate that `LONGER` adds have to do."""
  return json.loads((FOLDER / 'expected.json').read_text())


def expected_arrays():
  """What networks have to give for images that lie beside it."""
  return np.load(FOLDER / 'expected.npz')


def assert_close(outputs, values):
  np.testing.assert_allclose(outputs, values, rtol=1e-5, atol=1e-5)


def copied(name, folder):
  """Copies a saved folder to where a program may write; returns the copy."""
  return pathlib.Path(shutil.copytree(FOLDER / name, folder / name))


def variables(model_dir):
  """The tensors of the newest checkpoint, by name."""
  reader = tf.train.load_checkpoint(str(model_dir))
  return {name.removesuffix(_VALUE): reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
          if name.endswith(_VALUE)}


def step(model_dir):
  return int(variables(model_dir)['global_step'])


def movement(before, after):
  """How far a training has come from one model directory's checkpoint to another's: Σ|change|, slots by themselves."""
  before, after = variables(before), variables(after)
  assert before.keys() == after.keys()
  sums = collections.Counter()
  for name, value in before.items():
    if np.issubdtype(value.dtype, np.floating):
      owner, _, slot = name.partition('/.OPTIMIZER_SLOT/')
      part = owner.partition('/')[0]
      change = float(np.abs(after[name].astype(np.float64) - value).sum())
      sums[f'{part} {slot.rpartition("/")[2]}' if slot else part] += change
  return {part: total for part, total in sorted(sums.items()) if total}


def candidate_4(model_dir):
  """The graph and the outcome of the candidate that the longer search adds."""
  lines = map(json.loads, (pathlib.Path(model_dir) / 'journal.jsonl').read_text().splitlines()[1:])
  (record,) = (line for line in lines if line.get('stage') == 'evolution' and line['index'] == 4)
  return {key: record[key] for key in ('graph', 'parent', 'filtered', 'outcome')}
