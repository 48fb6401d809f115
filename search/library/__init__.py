"""The search as a library: running one from Python, looking at one, callbacks. `search` offers these names itself."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.library.callbacks import Callback as Callback
  from search.library.callbacks import EarlyStopping as EarlyStopping
  from search.library.hparams import HParams as HParams
  from search.library.layer import Layer as Layer
  from search.library.opened_search import Search as Search
  from search.library.running import run as run

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'callbacks': ('Callback', 'EarlyStopping'),
    'hparams': ('HParams',),
    'layer': ('Layer',),
    'opened_search': ('Search',),
    'running': ('run',),
})
