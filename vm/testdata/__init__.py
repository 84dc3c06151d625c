"""Recorded output, and fakes of programs, for the tests."""
