"""The public test kit: fakes and contracts for those who write transports and stores. Import its modules by name."""
