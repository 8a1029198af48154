"""What Ridewire is measured beside: servers that do the same with other means."""
