"""Exchanged functions: another function in a traced loop, the variables of the traced one, and nothing left behind."""

import gc
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from search.evaluation import function_exchange
from search.evaluation.function_exchange import can_exchange_functions
from search.evaluation.function_exchange import ExchangeableFunction

SCALAR = tf.TensorSpec([])


def concrete(function):
  return tf.function(function, autograph=False).get_concrete_function(SCALAR)


@pytest.fixture
def traced():
  """sum ← sum + square(x), so many times; and the variable, and the slot's name."""
  square, total = concrete(tf.square), tf.Variable(0.)

  @tf.function
  def add(x, times):
    for _ in tf.range(times):
      total.assign_add(tf.raw_ops.PartitionedCall(args=[x], Tout=[tf.float32], f=square)[0])
    return total.read_value()

  function = add.get_concrete_function(SCALAR, tf.TensorSpec([], tf.int32))
  return ExchangeableFunction(function, {square.name.decode(), 'another'}), total, square


def test_a_function_in_a_loop_is_exchanged(traced):
  exchangeable, total, square = traced
  slot, = exchangeable.slots
  assert slot == square.name.decode()
  cube, negative = concrete(lambda x: x**3), concrete(tf.negative)
  cubes = exchangeable.exchange({slot: cube.name.decode()})
  negatives = exchangeable.exchange({slot: negative.name.decode()})
  assert float(cubes(tf.constant(2.), tf.constant(3))) == 24.
  assert float(negatives(tf.constant(2.), tf.constant(1))) == 22. == float(total)
  assert float(exchangeable.exchange({})(tf.constant(2.), tf.constant(2))) == 30.
  total.assign(1.)
  assert float(cubes(tf.constant(1.), tf.constant(1))) == 2.


def test_iterators_are_inputs(traced):
  square = traced[2]

  @tf.function
  def take(numbers):
    return tf.raw_ops.PartitionedCall(args=[next(numbers)], Tout=[tf.float32], f=square)[0]

  numbers = iter(tf.data.Dataset.from_tensor_slices(np.float32([1, 2, 3])))
  negative = concrete(tf.negative)
  function = ExchangeableFunction(take.get_concrete_function(numbers), {square.name.decode()}).exchange(
      {square.name.decode(): negative.name.decode()})
  assert [float(function(numbers)) for _ in range(3)] == [-1., -2., -3.]


def test_what_is_no_longer_held_is_removed(traced):
  exchangeable = traced[0]
  function = exchangeable.exchange({})
  function(tf.constant(1.), tf.constant(1))
  name = function.name
  assert context.context().has_function(name)
  del function
  gc.collect()
  assert not context.context().has_function(name)


def test_a_tensorflow_that_can_exchange(caplog):
  can_exchange_functions.cache_clear()
  before = set(context.context().list_function_names())
  assert can_exchange_functions() and not caplog.records
  gc.collect()
  assert not [n for n in set(context.context().list_function_names()) - before if 'exchanged' in n]


@pytest.mark.parametrize('change, reason', [
    (lambda patch: patch.setattr(function_exchange, 'context', None), 'AttributeError: .*NoneType'),
    (lambda patch: patch.delattr(context.Context, 'add_function_def'), 'AttributeError: .*add_function_def'),
    (lambda patch: patch.setattr(context.Context, 'remove_function', lambda *_: None), 'MemoryError: .* be removed'),
    (lambda patch: patch.setattr(function_exchange, '_callees', lambda _: iter(())), 'ArithmeticError|KeyError')],
                         ids=['no module', 'no method', 'nothing is removed', 'another form of definitions'])
def test_a_tensorflow_that_cannot_exchange_is_named_once(monkeypatch, caplog, change, reason):
  can_exchange_functions.cache_clear()
  try:
    with monkeypatch.context() as patch:
      change(patch)
      assert [can_exchange_functions() for _ in range(3)] == [False] * 3
  finally:
    can_exchange_functions.cache_clear()
  warning, = [record.getMessage() for record in caplog.records]
  assert re.match(f'TensorFlow {re.escape(tf.__version__)} cannot exchange .* as 2.20 could [(]({reason})', warning)
