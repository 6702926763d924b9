package weir

// defaultRecord is the size of the largest record that a decoder accepts unless
// it is told otherwise.
const defaultRecord = 1 << 20
