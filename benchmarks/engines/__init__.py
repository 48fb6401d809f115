"""What the benchmark of layers needs of each engine of Keras 3.

`tf_keras_layers` and `engine_layers` are the benchmark itself, for tf_keras and for Keras 3. Every other module has the
same functions:

  contenders(channels, dtype) -> {(layer, mode): contender}, the first of which is the BN-ReLU that others are compared
    with;
  inputs(shape, dtype, count) -> arrays of random numbers on the device;
  forward(contender), forward_backward(contender) -> functions of x and dy that return when the device has finished;
  kept_bytes(contender, x, dy) -> the bytes that the backward pass reads from the forward pass;
  copy() -> a function of x that reads and writes each of its bytes once;
  device_name() -> the device, in words; on_gpu() -> whether it is a GPU; version() -> the engine's version.
"""
