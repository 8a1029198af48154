"""The promises, held against what is stored and what every client recorded."""
