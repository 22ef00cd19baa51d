"""Geometry of what report.html draws: plain data, no markup and no colour."""
