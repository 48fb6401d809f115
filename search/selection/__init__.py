"""The population, tournaments, and what is proposed next. No TensorFlow."""
