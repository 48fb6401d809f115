"""The equivalence cache, which recognizes layer graphs that compute the same layer; its audit; known layers by name.

No TensorFlow.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.equivalence.collision_audit import Audit as Audit
  from search.equivalence.collision_audit import run_audit as run_audit
  from search.equivalence.equivalents import AFFINE as AFFINE
  from search.equivalence.equivalents import Equivalents as Equivalents
  from search.equivalence.equivalents import EVALUATE as EVALUATE
  from search.equivalence.equivalents import EXACT as EXACT
  from search.equivalence.equivalents import MODES as MODES
  from search.equivalence.equivalents import REDRAW as REDRAW
  from search.equivalence.equivalents import REUSE as REUSE
  from search.equivalence.equivalents import SAME_LAYER as SAME_LAYER
  from search.equivalence.known_layers import known_layer as known_layer
  from search.equivalence.known_layers import KnownLayer as KnownLayer

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'collision_audit': ('Audit', 'run_audit'),
    'equivalents': ('AFFINE', 'EVALUATE', 'EXACT', 'MODES', 'REDRAW', 'REUSE', 'SAME_LAYER', 'Equivalents'),
    'known_layers': ('KnownLayer', 'known_layer'),
})
