"""The Triton sources. Importing a module of this package needs Triton."""
