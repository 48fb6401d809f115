"""The stages of a search, the outcomes of an evaluation, and whether a record's scores are complete.

Workers need no more of a journal than this module, so it imports nothing of the search.
"""

from collections.abc import Mapping

REFERENCE, EVOLUTION, RERANKING = STAGES = ('reference', 'evolution', 'reranking')
ELSEWHERE = 'of another search'  # ends the `origin` of a candidate that another search has found
ACCEPTED, POOR, UNSTABLE, FAILED = OUTCOMES = ('accepted', 'rejected: quality', 'rejected: stability', 'failed')


def is_complete(record: Mapping) -> bool:
  """Whether a record's scores are of the whole training, and not projected from a rung."""
  return not any(rung['stopped'] for rung in record.get('rungs') or ())
