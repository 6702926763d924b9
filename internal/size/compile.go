package size

import (
	"reflect"
	"strings"
	"unsafe"
)

// flatten is how many steps an array may add to the meter around it. Longer
// arrays are measured in a loop.
const flatten = 16

// compile returns the meter of t, or nil if there is nothing to measure, and
// the first part of t that is not covered, or "".
func compile(t reflect.Type) (*meter, string) {
	c := compiler{made: map[reflect.Type]*meter{}, open: map[reflect.Type]bool{}}
	m := c.meter(t, "")
	if m.empty() {
		m = nil
	}
	return m, c.why
}

type compiler struct {
	// made holds the meters of types that lie behind a pointer or slice, so
	// that a type that is used in many places is compiled once.
	made map[reflect.Type]*meter
	open map[reflect.Type]bool // being compiled: to meet one again is recursion
	why  string
}

// meter compiles t, which is the whole value or lies behind a pointer or slice.
func (c *compiler) meter(t reflect.Type, path string) *meter {
	if m, ok := c.made[t]; ok {
		return m
	}
	m := &meter{}
	c.open[t] = true
	c.add(m, t, 0, path)
	delete(c.open, t)
	c.made[t] = m
	return m
}

// add appends to m the steps that measure a t at off. The path names it in
// messages: "Meta.Tags", and "" for the whole value.
func (c *compiler) add(m *meter, t reflect.Type, off uintptr, path string) {
	if sharesItsMemory(t) || isLock(t) {
		return
	}
	if guards(t) {
		c.miss(t, path, "")
		return
	}
	switch t.Kind() {
	case reflect.String:
		m.words = append(m.words, word{off + unsafe.Sizeof(uintptr(0)), 1})
	case reflect.Slice:
		e := t.Elem()
		if e.Size() == 0 {
			return // its elements cannot refer to anything either
		}
		m.words = append(m.words, word{off + 2*unsafe.Sizeof(uintptr(0)), int64(e.Size())})
		if sub := c.behind(t, e, path, "[]"); sub != nil {
			m.deep = append(m.deep, step{off: off, kind: stepSlice, size: e.Size(), sub: sub})
		}
	case reflect.Pointer:
		e := t.Elem()
		sub := c.behind(t, e, path, "")
		if e.Size() > 0 {
			m.deep = append(m.deep, step{off: off, kind: stepPointer, size: e.Size(), sub: sub})
		}
	case reflect.Array:
		c.array(m, t, off, path)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Name == "_" {
				continue // cannot be set, and need not be copied with the rest
			}
			c.add(m, f.Type, off+f.Offset, join(path, f.Name))
		}
	case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		c.miss(t, path, "")
	}
}

func (c *compiler) array(m *meter, t reflect.Type, off uintptr, path string) {
	e := t.Elem()
	if t.Len() == 0 || e.Size() == 0 {
		return
	}
	one := &meter{}
	c.add(one, e, 0, path+"[]")
	switch steps := len(one.words) + len(one.deep); {
	case steps == 0:
	case t.Len() <= flatten/steps:
		for i := range t.Len() {
			at := off + uintptr(i)*e.Size()
			for _, w := range one.words {
				w.off += at
				m.words = append(m.words, w)
			}
			for _, s := range one.deep {
				s.off += at
				m.deep = append(m.deep, s)
			}
		}
	default:
		m.deep = append(m.deep, step{off: off, kind: stepArray, n: t.Len(), size: e.Size(), sub: one})
	}
}

// behind returns the meter of the elements e of the slice or pointer t, or nil
// if their memory must not or need not be read.
func (c *compiler) behind(t, e reflect.Type, path, mark string) *meter {
	if c.open[e] {
		c.miss(t, path, ", a recursive type")
		return nil
	}
	why := c.why
	sub := c.meter(e, path+mark)
	if sub.empty() {
		return nil // the size of e is known without a look at it
	}
	if lock := lockIn(e); lock != nil {
		// Another goroutine may change the fields that the lock guards while we
		// read.
		c.why = why
		c.miss(t, path, ", which holds a "+name(lock))
		return nil
	}
	return sub
}

// miss records a part that is not covered, if it is the first.
func (c *compiler) miss(t reflect.Type, path, reason string) {
	if c.why != "" {
		return
	}
	c.why = name(t) + reason
	if path != "" {
		c.why = "field " + path + " (" + c.why + ")"
	}
}

func name(t reflect.Type) string { return strings.ReplaceAll(t.String(), "interface {}", "any") }

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// sharesItsMemory reports whether the pointers in a t lead to memory that the
// whole program shares or that is counted elsewhere, or keep nothing alive. With these, time.Time and the
// types of net/netip, and types that are made of them, need no rule.
func sharesItsMemory(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		e := t.Elem()
		if e.Kind() == reflect.Struct && e.NumField() > 0 && e.Field(0).Type == reflect.TypeFor[Elsewhere]() {
			return true
		}
		return e.PkgPath() == "time" && e.Name() == "Location"
	}
	return t.PkgPath() == "unique" && strings.HasPrefix(t.Name(), "Handle[") ||
		t.PkgPath() == "weak" && strings.HasPrefix(t.Name(), "Pointer[")
}

// isLock reports whether t is a type of sync or sync/atomic that holds no
// memory of the user.
func isLock(t reflect.Type) bool {
	switch t.PkgPath() {
	case "sync":
		switch t.Name() {
		case "Mutex", "RWMutex", "WaitGroup", "Once", "Cond":
			return true
		}
	case "sync/atomic":
		switch t.Name() {
		case "Bool", "Int32", "Int64", "Uint32", "Uint64", "Uintptr":
			return true
		}
	}
	return false
}

// guards reports whether t is a type of sync or sync/atomic: several goroutines
// may change its contents, or the fields beside it in a struct.
func guards(t reflect.Type) bool {
	switch t.PkgPath() {
	case "sync", "sync/atomic", "internal/sync":
		return t.Name() != "noCopy"
	}
	return false
}

// lockIn returns the first type that a t contains for which guards holds, or
// nil.
func lockIn(t reflect.Type) reflect.Type {
	if guards(t) {
		return t
	}
	switch t.Kind() {
	case reflect.Array:
		return lockIn(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if l := lockIn(t.Field(i).Type); l != nil {
				return l
			}
		}
	}
	return nil
}
