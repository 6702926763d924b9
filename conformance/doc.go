// Package conformance holds, scenario by scenario, what users of Node's streams
// rely on, and how weir answers. The names begin with the number that
// docs/from-node.md refers to.
package conformance
