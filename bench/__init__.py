"""Ridewire measured beside what people would use instead. `python -m bench` runs it all."""
