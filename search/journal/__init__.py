"""The journal of a search, its records and their checks. No TensorFlow."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.journal.journal import Journal as Journal
  from search.journal.journal import read as read
  from search.journal.journal import VERSION as VERSION

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'journal': ('Journal', 'VERSION', 'read'),
})
