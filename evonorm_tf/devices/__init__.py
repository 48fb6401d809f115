"""Selection of accelerators by name, and release of the memory that traced graphs would keep."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.devices.graph_memory import released_gradients as released_gradients
  from evonorm_tf.devices.strategy import get_strategy as get_strategy
  from evonorm_tf.devices.strategy import STRATEGIES as STRATEGIES

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'graph_memory': ('released_gradients',),
    'strategy': ('STRATEGIES', 'get_strategy'),
})
