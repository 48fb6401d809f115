"""The equations of norm-activation layers, each written once for all engines: moments, primitives, series, graphs."""
