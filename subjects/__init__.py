"""Other people's implementations, each behind one small protocol."""
