package size

import (
	"math"
	"reflect"
	"unsafe"
)

// Slot returns the size of one value of T inside a buffer, without the memory
// that it refers to: its size in memory, and 1 for a type that has none.
func Slot[T any]() int64 {
	var v T
	return max(1, int64(unsafe.Sizeof(v)))
}

// IsByte reports whether T is byte.
func IsByte[T any]() bool {
	var v T
	_, ok := any(v).(byte)
	return ok
}

// Refers is [Value] with results that are ints and can still be added up.
func Refers[T any]() func(v T) int {
	f := Value[T]()
	if f == nil {
		return nil
	}
	return func(v T) int { return int(min(f(v), math.MaxInt/2)) }
}

// HasPointers reports whether values of T can keep other memory alive, so that
// slots that were read must be cleared.
func HasPointers[T any]() bool { return hasPointers(reflect.TypeFor[T]()) }

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return true
}
