"""Which layer graphs compute the same layer. No TensorFlow."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.equivalence.equivalents import Equivalents as Equivalents
  from search.equivalence.equivalents import EVALUATE as EVALUATE
  from search.equivalence.equivalents import MODES as MODES
  from search.equivalence.equivalents import REDRAW as REDRAW
  from search.equivalence.equivalents import REUSE as REUSE

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'equivalents': ('EVALUATE', 'MODES', 'REDRAW', 'REUSE', 'Equivalents'),
})
