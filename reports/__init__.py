"""Events, and the reports made from them: terminal, JSON, JUnit, HTML."""
