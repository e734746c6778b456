package scorer

// For tests.
var IsOpen = isOpen
