"""What the pytest plugin does once it is used: options, items, what they tell, the outcome."""
