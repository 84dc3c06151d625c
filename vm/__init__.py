"""The kernel under test: get, patch, configure and build it; boot and drive it."""
