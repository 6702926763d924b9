// Package flows holds no code but its tests. A generator makes random flows, runs
// them and compares each with a sequential model; a matrix tries every operator
// with every fault.
package flows
