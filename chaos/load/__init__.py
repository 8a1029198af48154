"""The load: well-written apps that ride, drive, talk and watch, and record all that they see."""
