"""A network of one's own as an architecture of the proxy task: any function of a norm-act factory."""

import tf_keras

import search
from small_task import small_evaluation
from small_task import small_evolution
from small_task import small_task


def plain_net(norm_act, num_classes, input_shape, width=16):
  """Returns a plain network of three convolutions, each followed by the layer that is searched."""
  images = x = tf_keras.Input(input_shape)
  for stage in range(3):
    x = tf_keras.layers.Conv2D(width << stage, 3, strides=1 + bool(stage), padding='same', use_bias=False)(x)
    x = norm_act(name=f'norm_act_{stage}')(x)
  x = tf_keras.layers.GlobalAveragePooling2D()(x)
  return tf_keras.Model(images, tf_keras.layers.Dense(num_classes)(x))


def main(model_dir='runs/own_network', candidates=40, workers=1):
  task = small_task(architectures=(search.Architecture(build=plain_net, options={'width': 12}),))
  found = search.run(model_dir=model_dir, evaluation=small_evaluation(task), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu',), max_minutes=3, workers=workers)
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
