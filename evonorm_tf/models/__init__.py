"""Networks that take any norm-activation layer: ResNet, MobileNetV2, MnasNet and EfficientNet."""
