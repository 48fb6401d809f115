"""Result folders, Markdown and figures. No TensorFlow."""
