"""REST over the tracker."""
