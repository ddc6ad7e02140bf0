"""What takes long: `make soak` runs it whole, the tests a short form of it."""
