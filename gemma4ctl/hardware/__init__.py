"""What the host has: detection, simulation and choice of GPUs."""
