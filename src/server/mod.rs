//! The control plane: wires its parts.
