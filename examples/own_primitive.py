"""A primitive and an index set that the paper does not have, from outside the package."""

import numpy as np
import tensorflow as tf

from evonorm_tf.graph.primitives import BUILT_IN
import search
from search.code_generation import compile_layer
from small_task import small_evaluation
from small_task import small_evolution

# x / (1 + |x|), with its derivative, its notation, and the code of it in generated files.
search.register_primitive(
    'softsign', numpy=lambda x: x / (1. + np.abs(x)), tensorflow=tf.nn.softsign,
    derivative=lambda x: (1. + np.abs(x))**-2., equation='softsign{}', code='tf.nn.softsign({})')
# Moments over the rows of an image alone: each column has its own.
search.register_index_set(
    'h', numpy=lambda x, groups: x.mean(1, keepdims=True), code='tf.reduce_mean({}, 1, keepdims=True)',
    tensorflow=lambda x, groups: tf.reduce_mean(x, 1, keepdims=True))


def main(model_dir='runs/own_primitive', candidates=40, workers=1):
  space = search.SearchSpace(nodes=6, primitives=(*BUILT_IN, 'softsign'), index_sets=('b,w,h', 'w,h', 'h'))
  found = search.run(model_dir=model_dir, space=space, evaluation=small_evaluation(), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu',), max_minutes=3, workers=workers)
  for layer in found.layers:
    print(layer)
  own = [c for c in found.candidates if c.is_accepted and {'softsign', 'h'} & {
      name for node in c.graph.nodes for name in (node.primitive, node.axes)}]
  if own:
    own[0].save(f'{model_dir}/own.json')
    compile_layer(f'{model_dir}/own.json', f'{model_dir}/own_layer.py', 'OwnLayer', overwrite=True)
    print(f'{own[0].equation}: {model_dir}/own_layer.py')
  return found


if __name__ == '__main__':
  main()
