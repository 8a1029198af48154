"""The fault suite: a busy cluster is killed, frozen and cut off; then the promises are checked."""
