// Package e2e tests weir against servers of other people, which run in the
// tests or beside them.
package e2e
