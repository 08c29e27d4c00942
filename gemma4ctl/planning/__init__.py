"""From a request, an inventory and the profile table to one immutable plan."""
