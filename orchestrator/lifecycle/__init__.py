"""What happens to a run as a whole: found, checked, submitted, resumed, cancelled, concluded."""
