"""Facts and rules of rides: trips, points, messages, identity, errors; and how they are kept."""
