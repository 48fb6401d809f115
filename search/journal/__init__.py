"""The journal of a search: its file, its records with their checks, and statistics of the records. No TensorFlow."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.journal.candidate import Candidate as Candidate
  from search.journal.journal import Journal as Journal
  from search.journal.journal import read as read
  from search.journal.journal import VERSION as VERSION
  from search.journal.record import Record as Record
  from search.journal.saved_search import load_search as load_search
  from search.journal.saved_search import SavedSearch as SavedSearch

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'candidate': ('Candidate',),
    'journal': ('Journal', 'VERSION', 'read'),
    'record': ('Record',),
    'saved_search': ('SavedSearch', 'load_search'),
})
