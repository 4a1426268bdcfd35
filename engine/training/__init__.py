"""The training pipeline: autoencoder, base model (action and memory), later teacher, distillation and depth."""
