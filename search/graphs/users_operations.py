"""The SymPy functions of primitives that users have added; SymPy knows nothing of them but their notation."""

from collections.abc import Callable
from collections.abc import Mapping
import functools

import sympy

from evonorm_tf.graph.primitives import PRIMITIVES
from evonorm_tf.graph.registration import RegisteredPrimitive
from search.graphs.notation import Opaque


def operation_of(primitive: str, operations: Mapping[str, Callable]) -> Callable[..., sympy.Expr]:
  """Returns the operation of a primitive on expressions, one of the paper's or a function without any rules.

  Args:
    primitive: the primitive's name.
    operations: the operations of the paper's primitives by name, like `equation.OPERATIONS`.
  """
  added = PRIMITIVES[primitive]
  return _function(added.name, added.text, added.latex) if isinstance(added, RegisteredPrimitive) else (
      operations[primitive])


class UsersFunction(Opaque):
  """The base class of functions that stand for a user's primitive.

  Attributes:
    users_name: the primitive's name.
  """
  users_name = ''

  @classmethod
  def eval(cls, *args: sympy.Expr) -> None:
    """Returns None: no function of this kind is simplified.

    Args:
      *args: the arguments.
    """


@functools.cache
def _function(name: str, text: str, latex: str) -> type[UsersFunction]:
  return type(name, (UsersFunction,), {'text': text, 'latex': latex, 'users_name': name})
