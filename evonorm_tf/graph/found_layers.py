"""Layers that searches with this package have found: `get_norm_act('found_1')` and so on.

The folder `found` has the layer graph of each, and origins.json with where it comes from: the search's configuration,
commit and seed, its journal, the candidate's number, and the accuracies of its re-ranking.
"""

from collections.abc import Mapping
import functools
import importlib.resources
import json
import types
from typing import Any

from evonorm_tf.graph.layer_graph import LayerGraph

_FOLDER = importlib.resources.files('evonorm_tf.graph') / 'found'


@functools.cache
def found_layer_origins() -> Mapping[str, Mapping[str, Any]]:
  """Returns where each found layer comes from, by its name, as origins.json has it."""
  return types.MappingProxyType(json.loads((_FOLDER / 'origins.json').read_text(encoding='utf-8')))


@functools.cache
def found_graphs() -> Mapping[str, LayerGraph]:
  """Returns the layer graph of each found layer, by its name."""
  return types.MappingProxyType({
      name: LayerGraph.from_dict(json.loads((_FOLDER / f'{name}.json').read_text(encoding='utf-8')))
      for name in found_layer_origins()})
